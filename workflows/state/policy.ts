/**
 * What an operator may request, and when. An update is allowed in a stage when the state machine has a move for it there;
 * otherwise its refusal is here, as the Temporal CLI prints it. Pure: validators look it up, tests walk through all of it.
 *
 * A repeated request is allowed wherever the first was: the second call joins the first or gets its answer again.
 */
import { STAGES, type At } from './stage.ts';
import { destination } from './transition.ts';

export const UPDATES = [
  ...(['pause', 'resume', 'cutover', 'approve', 'await-cutover', 'rehearse'] as const),
  ...(['abort', 'setLimits', 'verify', 'repair', 'switchback', 'finalize'] as const),
] as const;
export type UpdateName = (typeof UPDATES)[number];

const ENDING = 'the migration is ending: slot and control schema are being removed';
const ENDED = 'the migration has ended';
const NO_PAUSE_YET =
  'pause works in phase stream; this migration is in phase {phase}, where abort is the only way to stop it';
const ALREADY_WAITS =
  'the migration already waits for the operator (see the query progress); resume retries the step';
const NOTHING_TO_RESUME =
  'nothing to resume: in phase {phase} an error ends the migration instead of waiting';
const NO_CUTOVER_YET = 'cutover works in phase stream; this migration is in phase {phase}';
const NO_CUTOVER_TO_AWAIT =
  'no cutover can have been asked for: this migration is in phase {phase}; call cutover in phase stream';
const CUTTING_OVER =
  'the cutover is under way and retries a failed step automatically: pause cancels it, resume then continues streaming';
/** A late write found by this check still undoes the cutover. */
const LAST_STEP =
  'the slot is being dropped after a last check for late writes; the answer of cutover says how it ends';
const SWITCHED =
  'the cutover is committed, and the target is the live database; the answer of cutover says how it ends';
const UNDER_WAY =
  'a cutover or a rehearsal is under way: wait for its answer, or end it with pause';
const RESUME_TO_REHEARSE = 'rehearse works while the migration streams: resume first';
const NO_REHEARSAL_YET = 'rehearse works in phase stream; this migration is in phase {phase}';
const NO_WAY_BACK =
  'there is no way back to use: it begins with the cutover, if the input has "switchback"';
const UNDO_FIRST = 'a switch back is under way: pause cancels it, then finalize ends the way back';
const SWITCHED_BEFORE =
  'the migration has switched, and its way back has no window and no approval';
const NOT_REHEARSED_BACK = 'the migration has switched: rehearse works before the cutover';
const NOT_COMPARED_BACK =
  'rows are compared before the cutover; on the way back call walferry compare';
/** On the way back the application is on the target: what would end or repeat the migration is refused. */
const ON_WAY_BACK: Partial<Record<UpdateName, string>> = {
  cutover:
    'the migration has switched: switchback returns to the old database, finalize ends the way back',
  abort: 'the migration has switched and cannot be aborted: finalize ends the way back',
  ...{ approve: SWITCHED_BEFORE, 'await-cutover': SWITCHED_BEFORE, rehearse: NOT_REHEARSED_BACK },
  ...{ verify: NOT_COMPARED_BACK, repair: NOT_COMPARED_BACK },
};
const RESUME_FIRST =
  'the migration waits for the operator (see the query progress): resume first, call cutover when it streams again';

const STREAM_FIRST =
  'the migration waits for the operator (see the query progress): resume first, call verify or repair when it streams again';
const PAUSED =
  'rows are compared while the migration streams: resume first, then call verify or repair';
const NOT_IN_CUTOVER =
  'a cutover is under way: call verify or repair before it, or after pause and resume';
const COMPARING: Partial<Record<At, string>> = {
  ...{ streamWaiting: STREAM_FIRST, paused: PAUSED, cuttingOver: NOT_IN_CUTOVER },
  ...{ releasing: LAST_STEP, completing: LAST_STEP },
};

/** Why an update is refused in a stage; `{phase}` stands for the phase. The first that applies: stage, then the update's own. */
const REFUSALS: Readonly<
  Record<UpdateName, { readonly otherwise: string } & Partial<Record<At, string>>>
> = {
  pause: {
    ...{ copyWaiting: ALREADY_WAITS, indexWaiting: ALREADY_WAITS, streamWaiting: ALREADY_WAITS },
    ...{ released: `too late to undo the cutover: ${SWITCHED}` },
    ...{ releasing: `too late to cancel the cutover: ${LAST_STEP}` },
    ...{ completing: `too late to cancel the cutover: ${LAST_STEP}` },
    otherwise: NO_PAUSE_YET,
  },
  resume: {
    ...{ cuttingOver: CUTTING_OVER, fenced: CUTTING_OVER, released: SWITCHED },
    ...{ releasing: LAST_STEP, completing: LAST_STEP },
    otherwise: NOTHING_TO_RESUME,
  },
  cutover: { streamWaiting: RESUME_FIRST, otherwise: NO_CUTOVER_YET },
  approve: { released: SWITCHED, releasing: LAST_STEP, completing: LAST_STEP, otherwise: ENDING },
  'await-cutover': { otherwise: NO_CUTOVER_TO_AWAIT },
  rehearse: {
    ...{ paused: RESUME_TO_REHEARSE, streamWaiting: RESUME_TO_REHEARSE },
    ...{ cuttingOver: UNDER_WAY, fenced: UNDER_WAY, released: SWITCHED },
    ...{ releasing: LAST_STEP, completing: LAST_STEP },
    otherwise: NO_REHEARSAL_YET,
  },
  abort: {
    released: `too late to abort: ${SWITCHED}`,
    ...{
      releasing: `too late to abort: ${LAST_STEP}`,
      completing: `too late to abort: ${LAST_STEP}`,
    },
    otherwise: ENDING,
  },
  setLimits: { released: SWITCHED, releasing: LAST_STEP, completing: LAST_STEP, otherwise: ENDING },
  verify: {
    ...COMPARING,
    otherwise: 'verify works in phase stream; this migration is in phase {phase}',
  },
  repair: {
    ...COMPARING,
    otherwise: 'repair works in phase stream; this migration is in phase {phase}',
  },
  switchback: {
    streamWaiting: RESUME_FIRST.replace('cutover', 'switchback'),
    otherwise: NO_WAY_BACK,
  },
  finalize: { cuttingOver: UNDO_FIRST, fenced: UNDO_FIRST, otherwise: NO_WAY_BACK },
};

const BACK_DECIDED =
  'the switch back is decided, and the old database becomes the live one: the answer of switchback says how it ends';
/** What an operator asked for there is a switch back, and "the target" is not the live database any more. */
const BACK: Partial<Record<At, Partial<Record<UpdateName, string>>>> = {
  cuttingOver: {
    resume: CUTTING_OVER.replace('the cutover', 'the switch back'),
  },
  fenced: { resume: CUTTING_OVER.replace('the cutover', 'the switch back') },
  released: Object.fromEntries(UPDATES.map((update) => [update, BACK_DECIDED])),
};
const BACK_ENDING = 'the way back is ending: its slot and its state are being removed';
const OVER: Partial<Record<At, string>> = {
  finalizing: BACK_ENDING,
  ...{ aborting: ENDING, failing: ENDING },
  ...{ done: ENDED, aborted: ENDED, failed: ENDED },
};

export type Ruling =
  { readonly allowed: true } | { readonly allowed: false; readonly text: string };

/**
 * Whether the update may be requested now, or the text of the refusal. Total: every combination has an answer.
 * @param back whether the stages are about the way back.
 */
export function rule(update: UpdateName, at: At, back = false): Ruling {
  const isOfWayBack = update === 'switchback' || update === 'finalize';
  // A switch back is the same cutover in the other direction.
  const move = update === 'switchback' ? 'cutover' : update;
  const wrong = back ? ON_WAY_BACK[update] : isOfWayBack ? NO_WAY_BACK : undefined;
  if (wrong === undefined && destination(move, at) !== undefined) return { allowed: true };
  const text =
    OVER[at] ??
    (back ? BACK[at]?.[update] : undefined) ??
    wrong ??
    REFUSALS[update][at] ??
    REFUSALS[update].otherwise;
  return { allowed: false, text: text.replace('{phase}', STAGES[at].phase) };
}
