/** An approval of the cutover, as the update `approve` gives it. Pure. */
import * as v from 'valibot';
import { described } from './described.ts';
import { cutoverWindow, sameWindow, type CutoverWindow } from './window.ts';

/** `approval` of the input. */
export const approvalField = v.optional(
  described(
    v.picklist(['required', 'none'], 'must be "required" or "none"'),
    '`"required"`: a cutover begins only after the update `approve`, with the name of who approves it. An approval holds for the window in which it was given.',
  ),
);

const MOST_NAME = 100;
const MOST_NOTE = 500;
/** One line: it is shown in lists, and must not look like another entry. */
const ONE_LINE = /^[^\p{Cc}\p{Zl}\p{Zp}]*$/u;

const name = v.pipe(
  v.string('must be the name of who approves, in quotes'),
  v.trim(),
  v.minLength(1, 'must not be empty'),
  v.maxLength(MOST_NAME, `must have at most ${MOST_NAME} characters`),
  v.regex(ONE_LINE, 'must be one line'),
);
const note = v.pipe(
  v.string('must be a text, in quotes'),
  v.trim(),
  v.maxLength(MOST_NOTE, `must have at most ${MOST_NOTE} characters`),
  v.regex(ONE_LINE, 'must be one line'),
);
const given = v.strictObject({ name, note: v.optional(note, '') });
export type GivenApproval = v.InferOutput<typeof given>;

/** As the state keeps it. */
export const approval = v.pipe(
  v.object({
    name: v.string(),
    note: v.string(),
    /** ISO 8601, in workflow time. */
    at: v.string(),
    /** The window that was in force: it is what was approved. Absent: none was. */
    window: v.exactOptional(cutoverWindow),
  }),
  v.readonly(),
);
export type Approval = v.InferOutput<typeof approval>;

/** Kept in the state, the newest ones. */
export const MOST_APPROVALS = 20;

export type ParsedApproval =
  | { readonly ok: true; readonly given: GivenApproval }
  | { readonly ok: false; readonly message: string };

/** Parses the input of `approve`. Never throws, repeats no value. */
export function parseApproval(raw: unknown): ParsedApproval {
  const result = v.safeParse(given, raw);
  if (result.success && !Array.isArray(raw)) return { ok: true, given: result.output };
  const wrong = (result.issues ?? []).flatMap((issue) => {
    const field = v.getDotPath(issue);
    if (field !== 'name' && field !== 'note') return [];
    return [`"${field}" ${issue.received === 'undefined' ? 'is missing' : issue.message}`];
  });
  const form = 'the input of approve is {"name": "…", "note": "…"}; the note may be omitted';
  return { ok: false, message: wrong.length === 0 ? form : `${form}: ${wrong.join('; ')}` };
}

/** The approval that counts now: the first one that was given for this window. */
export function approvalFor(
  window: CutoverWindow | undefined,
  approvals: readonly Approval[] = [],
): Approval | undefined {
  return approvals.find((one) => sameWindow(one.window, window));
}
