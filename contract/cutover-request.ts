/** A cutover that was asked for: the options of the update, and how a request that waits is kept and shown. Pure. */
import * as v from 'valibot';
import {
  cutoverWindow,
  hasOffsets,
  windowField,
  windowInUtc,
  windowText,
  type CutoverWindow,
} from './window.ts';
import { UnclearTime } from './zoned-time.ts';

const compare = v.picklist(['exact', 'off']);

/** What the caller of `cutover` may set; unset: as in the migration's input. */
const options = v.strictObject({ compare: v.optional(compare), window: windowField });

export interface CutoverOptions {
  readonly compare?: 'exact' | 'off';
  /** Replaces the window of the input. */
  readonly window?: CutoverWindow;
}

export type ParsedOptions =
  | { readonly ok: true; readonly options: CutoverOptions }
  | { readonly ok: false; readonly message: string };

const FORM =
  'omit the input of cutover, or give {"compare": "exact"} or {"compare": "off"}, and {"window": {"from": …, "to": …}} to replace the window';

/** Parses the input of `cutover`. Never throws, repeats no value. */
export function parseCutoverOptions(raw: unknown): ParsedOptions {
  const result = v.safeParse(options, raw ?? {});
  if (!result.success || Array.isArray(raw)) return { ok: false, message: FORM };
  const { compare: chosen, window } = result.output;
  const kept = chosen === undefined ? {} : { compare: chosen };
  if (window === undefined) return { ok: true, options: kept };
  // A zone would have to be looked up, which workflow code must not do.
  if (!hasOffsets(window)) {
    return {
      ok: false,
      message:
        'in the update, both times of "window" need an offset, like "2026-11-28T01:00+01:00"',
    };
  }
  try {
    return { ok: true, options: { ...kept, window: windowInUtc(window) } };
  } catch (error) {
    if (error instanceof UnclearTime) return { ok: false, message: error.message };
    throw error;
  }
}

/** A request that waits for its window, or for approval. Part of the carried state, because no update may wait that long. */
export const heldCutover = v.pipe(
  v.object({
    /** When it was asked for, ISO 8601, in workflow time. */
    at: v.string(),
    compare,
    /** Of the update. */
    updateId: v.exactOptional(v.string()),
  }),
  v.readonly(),
);
export type HeldCutover = v.InferOutput<typeof heldCutover>;

/** As `progress` shows it. */
export const shownRequest = v.pipe(
  v.object({
    at: v.string(),
    /** Whether it needs an approval that was not given yet. */
    unapproved: v.boolean(),
    window: v.exactOptional(cutoverWindow),
  }),
  v.readonly(),
);
export type ShownRequest = v.InferOutput<typeof shownRequest>;

/** `waits for approval (update approve); runs in the window from … to …`. */
export function requestText({
  unapproved,
  window,
}: Pick<ShownRequest, 'unapproved' | 'window'>): string {
  return [
    ...(unapproved ? ['waits for approval (update approve)'] : []),
    ...(window ? [`runs in the window ${windowText(window)}, or not at all`] : []),
  ].join('; ');
}
