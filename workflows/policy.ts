/**
 * What an operator may request, and when: one table over update, phase and situation. A cell is `ALLOWED` or the text of the
 * refusal, as the Temporal CLI prints it. Pure: validators look it up, tests walk through all of it.
 *
 * Calling an update twice is allowed wherever calling it once was: the second call joins the first or gets its answer again.
 */
import type { Phase } from '../contract/progress.ts';

export const UPDATES = ['pause', 'resume', 'cutover', 'abort', 'setLimits'] as const;
export type UpdateName = (typeof UPDATES)[number];

/** `ending`: the outcome is decided, slot and control schema are being removed. */
export const SITUATIONS = ['running', 'paused', 'waiting', 'ending'] as const;
export type Situation = (typeof SITUATIONS)[number];

const ALLOWED = Symbol('allowed');
type Permission = typeof ALLOWED | string;
type Row = Readonly<Record<Situation, Permission>>;

const ENDING = 'the migration is ending: slot and control schema are being removed';
const ENDED = 'the migration has ended';

const row = (permission: Permission, differing: Partial<Row> = {}): Row => ({
  running: permission,
  paused: permission,
  waiting: permission,
  ending: ENDING,
  ...differing,
});
const over = row(ENDED);

const NO_PAUSE_YET =
  'pause works in phase stream; this migration is in phase {phase}, where abort is the only way to stop it';
const WAITS_ALREADY =
  'the migration already waits for the operator (see the query progress); resume retries the step';
const NOTHING_TO_RESUME =
  'nothing to resume: in phase {phase} an error ends the migration instead of waiting';
const NO_CUTOVER_YET = 'cutover works in phase stream; this migration is in phase {phase}';
const CUTTING_OVER =
  'the cutover is under way and retries a failed step automatically: pause cancels it, resume then continues streaming';
/** A late write found by this check still undoes the cutover. */
const LAST_STEP =
  'the slot is being dropped after a last check for late writes; the answer of cutover says how it ends';

/** The table. `{phase}` in a text is replaced by the phase. */
const RULES: Readonly<Record<UpdateName, Readonly<Record<Phase, Row>>>> = {
  pause: {
    preflight: row(NO_PAUSE_YET),
    schema: row(NO_PAUSE_YET),
    snapshot: row(NO_PAUSE_YET, { waiting: WAITS_ALREADY }),
    indexes: row(NO_PAUSE_YET, { waiting: WAITS_ALREADY }),
    stream: row(ALLOWED, { waiting: WAITS_ALREADY }),
    // Cancels it. Too late once the last step is done: then the slot is being dropped.
    cutover: row(ALLOWED, { ending: `too late to cancel the cutover: ${LAST_STEP}` }),
    done: over,
    failed: over,
    aborted: over,
  },
  resume: {
    preflight: row(NOTHING_TO_RESUME),
    schema: row(NOTHING_TO_RESUME),
    snapshot: row(ALLOWED),
    indexes: row(ALLOWED),
    stream: row(ALLOWED),
    cutover: row(CUTTING_OVER, { ending: LAST_STEP }),
    done: over,
    failed: over,
    aborted: over,
  },
  cutover: {
    preflight: row(NO_CUTOVER_YET),
    schema: row(NO_CUTOVER_YET),
    snapshot: row(NO_CUTOVER_YET),
    indexes: row(NO_CUTOVER_YET),
    stream: row(ALLOWED, {
      waiting:
        'the migration waits for the operator (see the query progress): resume first, call cutover when it streams again',
    }),
    // A second call joins, also while slot and control schema are being removed.
    cutover: row(ALLOWED, { ending: ALLOWED }),
    done: over,
    failed: over,
    aborted: over,
  },
  abort: {
    preflight: row(ALLOWED),
    schema: row(ALLOWED),
    snapshot: row(ALLOWED),
    indexes: row(ALLOWED),
    stream: row(ALLOWED),
    cutover: row(ALLOWED, {
      ending: `too late to abort: ${LAST_STEP}`,
    }),
    done: over,
    failed: over,
    aborted: row(ENDED, { ending: ALLOWED }),
  },
  // Before the copy they are stored for it; while the migration waits or is paused they apply from the next step on.
  setLimits: {
    preflight: row(ALLOWED),
    schema: row(ALLOWED),
    snapshot: row(ALLOWED),
    indexes: row(ALLOWED),
    stream: row(ALLOWED),
    cutover: row(ALLOWED, { ending: LAST_STEP }),
    done: over,
    failed: over,
    aborted: over,
  },
};

export type Ruling =
  { readonly allowed: true } | { readonly allowed: false; readonly text: string };

/** Whether the update is allowed now, or the text of the refusal. Total: every combination has an answer. */
export function rule(update: UpdateName, phase: Phase, situation: Situation): Ruling {
  const permission = RULES[update][phase][situation];
  if (typeof permission !== 'string') return { allowed: true };
  return { allowed: false, text: permission.replace('{phase}', phase) };
}
