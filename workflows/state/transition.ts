/**
 * The one place where state changes: `transition(state, event)`, pure. `MOVES` is the state machine: from which stage an event leads
 * to which. What an operator may request follows from it (policy.ts), and so does the diagram in docs/reference/states.md.
 */
import { MOST_APPROVALS } from '../../contract/approval.ts';
import { shortReason } from '../../contract/record.ts';
import { courseAfter } from './course.ts';
import type { Event, Move } from './event.ts';
import { noted } from './fact.ts';
import { isDecided, STAGES, type At, type Stage } from './stage.ts';
import type { State } from './state.ts';
import { verificationBegun, withoutRunning, withResync } from './verification-fact.ts';

type Moves = Readonly<Record<Move['type'], Readonly<Partial<Record<At, At>>>>>;

/** Stages in which a migration can still be stopped. */
const OPEN = [
  ...(['preflight', 'schema', 'copying', 'copyWaiting', 'indexing', 'indexWaiting'] as const),
  ...(['streaming', 'paused', 'streamWaiting', 'cuttingOver', 'fenced'] as const),
] as const;
const all = <F extends At, T extends At>(from: readonly F[], to: T): Readonly<Record<F, T>> =>
  Object.fromEntries(from.map((at) => [at, to])) as Record<F, T>;
const stay = <F extends At>(...from: F[]): Readonly<{ [A in F]: A }> =>
  Object.fromEntries(from.map((at) => [at, at])) as { [A in F]: A };

/** An event that is not listed for a stage is illegal in it. */
export const MOVES = {
  schemaBegun: { preflight: 'schema' },
  copyBegun: { schema: 'copying' },
  indexingBegun: { copying: 'indexing' },
  streamBegun: { indexing: 'streaming' },
  // From `copying`: a resync that is tried again after it waited for the operator.
  resyncBegun: { streaming: 'copying', copying: 'copying' },
  resynced: { copying: 'streaming' },
  operatorNeeded: {
    ...{ copying: 'copyWaiting', indexing: 'indexWaiting', streaming: 'streamWaiting' },
    // A pause does not outlive the wait: `resume` ends both. A cutover that has not begun is undone.
    ...{ paused: 'streamWaiting', cuttingOver: 'streamWaiting' },
  },
  // In a fenced cutover it asks for the undo; the outcome decides.
  pause: { streaming: 'paused', ...stay('paused', 'cuttingOver', 'fenced') },
  resume: {
    ...{ copyWaiting: 'copying', indexWaiting: 'indexing', streamWaiting: 'streaming' },
    ...{ paused: 'streaming', ...stay('copying', 'indexing', 'streaming') },
  },
  cutover: {
    ...{ streaming: 'cuttingOver', paused: 'cuttingOver' },
    // A second call joins, also while slot and control schema are being removed.
    ...stay('cuttingOver', 'fenced', 'released', 'releasing', 'completing'),
  },
  // The stage stays: the stream goes on until the window opens, or the approval comes.
  cutoverHeld: stay('streaming', 'paused'),
  // Before the request or after it.
  approve: stay(...OPEN),
  // A resync or a wait for the operator does not end a request that is kept.
  'await-cutover': stay(
    ...(['copying', 'copyWaiting', 'streaming', 'paused', 'streamWaiting'] as const),
    ...(['cuttingOver', 'fenced', 'released', 'releasing', 'completing'] as const),
  ),
  rehearse: { streaming: 'cuttingOver' },
  abort: { ...all(OPEN, 'aborting'), ...stay('aborting') },
  // Before the copy they are kept for it; while it waits or is paused they apply from the next step on.
  setLimits: stay(...OPEN),
  // Both need the stream: an anchor is a place at which it stands.
  ...{ verify: stay('streaming'), repair: stay('streaming') },
  wayBackBegun: { released: 'streaming' },
  // Only on the way back (policy.ts): a cutover has to be undone first.
  finalize: {
    ...{ streaming: 'finalizing', paused: 'finalizing', streamWaiting: 'finalizing' },
    ...stay('finalizing'),
  },
  wayBackOver: {
    ...{ streaming: 'finalizing', paused: 'finalizing', streamWaiting: 'finalizing' },
    ...{ cuttingOver: 'finalizing', fenced: 'finalizing', finalizing: 'finalizing' },
  },
  releaseBegun: { cuttingOver: 'releasing' },
  boxBegun: { cuttingOver: 'fenced' },
  // The outcome on the target counts, whatever was requested meanwhile. From `cuttingOver`: found after a reset.
  switched: {
    ...{ cuttingOver: 'released', fenced: 'released' },
    ...{ aborting: 'released', failing: 'released' },
  },
  cutoverUndone: { cuttingOver: 'streaming', fenced: 'streaming', releasing: 'streaming' },
  cutoverCancelled: { cuttingOver: 'paused', fenced: 'paused' },
  completed: { releasing: 'completing', released: 'completing', finalizing: 'completing' },
  cancelled: all([...OPEN, 'releasing'], 'aborting'),
  failed: all([...OPEN, 'releasing'], 'failing'),
  closed: { completing: 'done', aborting: 'aborted', failing: 'failed' },
} as const satisfies Moves;

/**
 * The state after an event.
 * @param now ISO 8601, in workflow time.
 * @throws IllegalMove for a move that its stage does not have: a programming error, which must fail the workflow task.
 */
export function transition(state: State, event: Event, now: string): State {
  const next = isMove(event) ? moved(state, event, now) : noted(state, event, now);
  return courseAfter(state, next, event, now);
}

export class IllegalMove extends Error {
  constructor(at: At, { type }: Move) {
    super(`${type} in stage ${at}`);
  }
}

/** The stage to which an event leads; undefined when it may not happen in this one. */
export function destination(type: Move['type'], at: At): At | undefined {
  const moves: Moves = MOVES;
  return moves[type][at];
}

function isMove(event: Event): event is Move {
  return event.type in MOVES;
}

function moved(state: State, event: Move, now: string): State {
  const { stage } = state;
  const at = destination(event.type, stage.at);
  if (at === undefined) throw new IllegalMove(stage.at, event);
  const next = at === stage.at ? state : entered(state, stageOf(at, event, now), now);
  if (BEGINS.has(event.type)) return withoutRequest(next);
  if (event.type === 'cutoverUndone' || event.type === 'cutoverCancelled') {
    // However it ended: nothing was to be switched.
    if (event.rehearsed) return next;
    // Who asked for it may have gone long ago: a request that waited for its window has no caller.
    return { ...next, dropped: undoneText(event, state) };
  }
  if (event.type === 'cutoverHeld') {
    return { ...withoutRequest(next), held: { ...event.request, at: now } };
  }
  if (event.type === 'approve') return approved(next, event, now);
  if (event.type === 'finalize') return finalized(withoutRequest(withoutRunning(next)), event);
  if (event.type === 'schemaBegun') return { ...next, schemaBegun: true };
  if (event.type === 'wayBackBegun') return returning(withoutRunning(next), event, now);
  // A step that is retried has no wait of its last attempt.
  if (event.type === 'resyncBegun') {
    return { ...withResync(next), consistent: false, placeWait: null };
  }
  // The stream has to apply everything up to the new snapshot first.
  if (event.type === 'resynced') {
    return { ...next, consistent: false, notes: { ...next.notes, resync: null }, asOf: now };
  }
  if (event.type === 'operatorNeeded') return { ...next, asOf: now };
  if (event.type === 'setLimits') {
    const { values, version, stored } = event;
    return { ...next, limits: { values, version, stored } };
  }
  if (event.type === 'verify' || event.type === 'repair')
    return verificationBegun(next, event, now);
  // The end does not wait for limits; a cutover that is being released may still be undone.
  return isDecided(at) ? { ...withoutRequest(withoutRunning(next)), unstored: null } : next;
}

/** From here on a request that waited is a thing of the past. */
const BEGINS: ReadonlySet<Event['type']> = new Set<Event['type']>([
  ...(['cutover', 'releaseBegun', 'switched'] as const),
]);

/** The next cutover makes an earlier request a thing of the past, begun or not. */
function withoutRequest({ held: _held, dropped: _dropped, ...state }: State): State {
  return state;
}

function undoneText(
  event: Extract<Move, { type: 'cutoverUndone' | 'cutoverCancelled' }>,
  { back }: State,
): string {
  const what = back === undefined ? 'cutover' : 'switch back';
  if (event.type === 'cutoverCancelled') return `the last ${what} was cancelled by pause`;
  const { reason } = event;
  const why = reason ? `: ${shortReason(reason.message)} (${reason.code})` : '';
  return `the last ${what} was ${reason?.code === 'NotReady' ? 'refused' : 'undone'}${why}`;
}

/** What was approved is a cutover in the window that is in force. */
function approved(state: State, { given }: Extract<Move, { type: 'approve' }>, at: string): State {
  const { window, approvals = [] } = state;
  const approval = { ...given, at, ...(window === undefined ? {} : { window }) };
  return { ...state, approvals: [...approvals, approval].slice(-MOST_APPROVALS) };
}

/** Positions are the other server's from here on, and every table is ready: nothing is copied back. */
function returning(
  state: State,
  { at, back }: Extract<Move, { type: 'wayBackBegun' }>,
  now: string,
): State {
  const { tables: _, ...rest } = state;
  return {
    ...rest,
    back,
    startedAt: { ...state.startedAt, reverse: state.startedAt.reverse ?? now },
    ...{ confirmedLsn: at, stream: null, consistent: true, constraintsBuilt: true },
    ...{ triggersEnabled: false, unreported: false, asOf: now },
  };
}

/** The end of the way back; a second call changes nothing that the first one asked for. */
function finalized(state: State, { oldDatabase }: Extract<Move, { type: 'finalize' }>): State {
  const { back } = state;
  const next = { ...state, unstored: null };
  if (back === undefined || oldDatabase === undefined || back.oldDatabase !== undefined)
    return next;
  return { ...next, back: { ...back, oldDatabase } };
}

/** A stage that begins, in a phase whose first beginning is kept. */
function entered(state: State, stage: Stage, now: string): State {
  const { phase } = STAGES[stage.at];
  const before = STAGES[state.stage.at].phase;
  if (phase === before) return { ...state, stage };
  const startedAt = { ...state.startedAt, [phase]: state.startedAt[phase] ?? now };
  return { ...state, stage, startedAt, placeWait: null };
}

function stageOf(at: At, event: Move, now: string): Stage {
  if (at === 'copyWaiting' || at === 'indexWaiting' || at === 'streamWaiting') {
    if (event.type !== 'operatorNeeded') throw new TypeError(`${event.type} has no reason`);
    return { at, waiting: event.waiting };
  }
  if (at === 'paused') return { at, unsure: null };
  if (at === 'cuttingOver') return { at, step: null };
  if (at === 'fenced') {
    if (event.type !== 'boxBegun') throw new TypeError(`${event.type} has no cutover`);
    const { cutover } = event;
    return { at, step: null, box: { cutover, since: now, deadline: null, spent: [] } };
  }
  if (at === 'aborting') return { at, by: event.type === 'abort' ? 'operator' : 'cancellation' };
  return { at };
}
