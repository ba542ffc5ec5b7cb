/** What becomes of the old database when the way back ends: the input of the update `finalize`. Pure. */
import * as v from 'valibot';

/** `sealed`: it keeps refusing writes, and the answer has the statement that opens it. `open`: it takes writes again. */
export const oldDatabase = v.picklist(['sealed', 'open']);
export type OldDatabase = v.InferOutput<typeof oldDatabase>;

const options = v.strictObject({ oldDatabase: v.exactOptional(oldDatabase) });

export type ParsedFinalize =
  | { readonly ok: true; readonly oldDatabase: OldDatabase | undefined }
  | { readonly ok: false; readonly message: string };

/** Parses the input of `finalize`. Never throws, repeats no value. */
export function parseFinalize(raw: unknown): ParsedFinalize {
  const result = v.safeParse(options, raw ?? {});
  if (result.success && !Array.isArray(raw)) {
    return { ok: true, oldDatabase: result.output.oldDatabase };
  }
  return {
    ok: false,
    message:
      'omit the input of finalize, or give {"oldDatabase": "sealed"} (it keeps refusing writes) or {"oldDatabase": "open"} (it takes writes again)',
  };
}

/** What was done with the fence on the old database. */
export interface OldDatabaseReport {
  /** What is left there, by name; empty: nothing. */
  readonly left: readonly string[];
  /** The statement that removes the sealed fence exactly; null: there is none, or it needs more than one statement. */
  readonly statement: string | null;
}
