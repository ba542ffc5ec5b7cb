/**
 * The one place where state changes: `transition(state, event)`, pure. `MOVES` is the state machine: from which stage an event leads
 * to which. What an operator may request follows from it (policy.ts), and so does the diagram in docs/states.md.
 */
import { maxLsn, type Lsn } from '../../contract/lsn.ts';
import type { TableStates } from '../../contract/table-state.ts';
import type { Event, Fact, Move } from './event.ts';
import { addCopyNote, differenceNotes } from './notes.ts';
import type { Reason } from './reason.ts';
import { STAGES, type At, type In, type Stage } from './stage.ts';
import type { State } from './state.ts';

type Moves = Readonly<Record<Move['type'], Readonly<Partial<Record<At, At>>>>>;

/** Stages in which a migration can still be stopped. */
const OPEN = [
  ...(['preflight', 'schema', 'copying', 'copyWaiting', 'indexing', 'indexWaiting'] as const),
  ...(['streaming', 'paused', 'streamWaiting', 'cuttingOver'] as const),
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
  pause: { streaming: 'paused', ...stay('paused', 'cuttingOver') },
  resume: {
    ...{ copyWaiting: 'copying', indexWaiting: 'indexing', streamWaiting: 'streaming' },
    ...{ paused: 'streaming', ...stay('copying', 'indexing', 'streaming') },
  },
  cutover: {
    ...{ streaming: 'cuttingOver', paused: 'cuttingOver' },
    // A second call joins, also while slot and control schema are being removed.
    ...stay('cuttingOver', 'releasing', 'completing'),
  },
  abort: { ...all(OPEN, 'aborting'), ...stay('aborting') },
  // Before the copy they are kept for it; while it waits or is paused they apply from the next step on.
  setLimits: stay(...OPEN),
  releaseBegun: { cuttingOver: 'releasing' },
  cutoverUndone: { cuttingOver: 'streaming', releasing: 'streaming' },
  cutoverCancelled: { cuttingOver: 'paused' },
  completed: { releasing: 'completing' },
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
  return isMove(event) ? moved(state, event, now) : noted(state, event, now);
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
  const next = at === stage.at ? state : entered(state, stageOf(at, event), now);
  if (event.type === 'schemaBegun') return { ...next, schemaBegun: true };
  // A step that is retried has no wait of its last attempt.
  if (event.type === 'resyncBegun') return { ...next, consistent: false, slotWait: null };
  // The stream has to apply everything up to the new snapshot first.
  if (event.type === 'resynced') {
    return { ...next, consistent: false, notes: { ...next.notes, resync: null }, asOf: now };
  }
  if (event.type === 'operatorNeeded') return { ...next, asOf: now };
  if (event.type === 'setLimits') {
    const { values, version, stored } = event;
    return { ...next, limits: { values, version, stored } };
  }
  // The end does not wait for limits; a cutover that is being released may still be undone.
  return isDecided(at) ? { ...next, unstored: null } : next;
}

/** A stage that begins, in a phase whose first beginning is kept. */
function entered(state: State, stage: Stage, now: string): State {
  const { phase } = STAGES[stage.at];
  const before = STAGES[state.stage.at].phase;
  if (phase === before) return { ...state, stage };
  const startedAt = { ...state.startedAt, [phase]: state.startedAt[phase] ?? now };
  return { ...state, stage, startedAt, slotWait: null };
}

function stageOf(at: At, event: Move): Stage {
  if (at === 'copyWaiting' || at === 'indexWaiting' || at === 'streamWaiting') {
    if (event.type !== 'operatorNeeded') throw new TypeError(`${event.type} has no reason`);
    return { at, waiting: event.waiting };
  }
  if (at === 'paused') return { at, unsure: null };
  if (at === 'cuttingOver') return { at, step: null };
  if (at === 'aborting') return { at, by: event.type === 'abort' ? 'operator' : 'cancellation' };
  return { at };
}

/** An attempt whose worker is unreachable may continue to apply until the target is fenced. */
const UNREPORTED: Reason = {
  code: 'Stalled',
  message: 'its last attempt ended without a report, and the target is being queried',
};

function noted(state: State, event: Fact, now: string): State {
  const { notes } = state;
  switch (event.type) {
    case 'preflightNoted':
      return { ...state, notes: { ...notes, preflight: event.notes } };
    case 'schemaCopied':
      return {
        ...built(state, {
          indexesTotal: event.totals.indexes,
          constraintsTotal: event.totals.constraints,
        }),
        leftOut: event.leftOut ?? null,
        notes: { ...notes, leftOut: event.notes },
      };
    case 'slotBegun':
      return { ...state, slotBegun: true };
    case 'slotCreated':
      return { ...state, confirmedLsn: event.consistentLsn };
    case 'planned':
      return planned(state, event.plan, now);
    case 'guardBegun':
      return { ...state, guard: null };
    case 'guardReported':
      if (STAGES[state.stage.at].phase !== 'snapshot') return state;
      return { ...state, guard: { ...event.report, since: now } };
    case 'runCopied':
      return copied(state, event.result, now);
    case 'runFailed':
      return {
        ...state,
        notes: { ...notes, copy: addCopyNote(notes.copy, event.run, event.reason) },
        asOf: now,
      };
    case 'copyStopped':
      return { ...state, guard: 'off' };
    case 'rowsCopied':
      return {
        ...state,
        // Without a single row to copy there was no run.
        consistent: state.consistent || state.firstPass === null,
        notes: { ...notes, copy: [] },
      };
    case 'indexesBuilt':
      return {
        ...built(state, { indexesBuilt: event.built, indexesTotal: event.total }),
        asOf: now,
      };
    case 'tablesAnalyzed':
      return { ...built(state, { tablesAnalyzed: event.tables }), asOf: now };
    case 'constraintsListed':
      return built(state, {
        // It ends only when the indexes that waited for fixed rows are built too.
        indexesBuilt: state.indexes?.indexesTotal ?? null,
        ...{ constraintsBuilt: event.built, constraintsTotal: event.total },
      });
    case 'constraintsBuilt':
      return { ...state, constraintsBuilt: true, asOf: now };
    case 'constraintsLost':
      return { ...state, constraintsBuilt: false };
    case 'viewsRefreshed':
      return { ...state, skippedViews: event.skipped };
    case 'resyncNeeded':
      return { ...state, notes: { ...notes, resync: event.reason.message } };
    case 'attemptBegun':
      return { ...state, unreported: true };
    case 'attemptReported': {
      const { transactions, changes, lagBytes, lagSeconds, rate, consistent } = event.report;
      const leases = (state.stream?.leases ?? 0) + 1;
      return {
        ...confirmed(withTables(state, event.report), event.report.confirmedLsn, now),
        ...{ unreported: false, consistent: state.consistent || consistent },
        stream: { transactions, changes, lagBytes, lagSeconds, rate, leases },
      };
    }
    case 'fenced': {
      const { confirmedLsn, transactions, changes } = event.checkpoint;
      const { lagBytes = 0, lagSeconds = 0, leases = 0 } = state.stream ?? {};
      return {
        ...confirmed(unsure(state, null), confirmedLsn, now),
        unreported: false,
        stream: { transactions, changes, lagBytes, lagSeconds, rate: 0, leases },
      };
    }
    case 'positionUnknown':
      if (event.reason !== null) return unsure(state, event.reason);
      // A reason that is known stays.
      if (state.stage.at !== 'paused' || state.stage.unsure || !state.unreported) return state;
      return unsure(state, UNREPORTED);
    case 'stepBegun':
      return step(state, { step: event.step, since: now, failing: null });
    case 'stepFailing':
      return failing(state, event, now);
    case 'triggersEnabled':
      return { ...state, triggersEnabled: true };
    case 'triggersDisabled':
      return { ...state, triggersEnabled: false };
    case 'differencesFound':
      return {
        ...state,
        notes: { ...notes, differences: differenceNotes(event.differences) },
        asOf: now,
      };
    case 'slotWaited':
      return { ...state, slotWait: isDecided(state.stage.at) ? null : event.wait };
    case 'limitsStored': {
      const newest = state.limits ?? { values: event.values, version: event.version };
      return { ...state, limits: { ...newest, stored: event.version } };
    }
    case 'limitsUnstored':
      return { ...state, unstored: isDecided(state.stage.at) ? null : kept(event.reason) };
  }
}

/** Whether the outcome is decided: what arrives late is no longer of interest. */
function isDecided(at: At): boolean {
  return STAGES[at].ending && at !== 'releasing';
}

/** Without what the state does not carry. */
function kept(reason: Reason | null): Pick<Reason, 'code' | 'message'> | null {
  return reason && { code: reason.code, message: reason.message };
}

const NOTHING_BUILT = {
  ...{ indexesBuilt: null, indexesTotal: null, tablesAnalyzed: null },
  ...{ constraintsBuilt: null, constraintsTotal: null },
};

/** Counters of what is built after the rows, as far as a step reported them. */
function built(state: State, counters: Partial<NonNullable<State['indexes']>>): State {
  return { ...state, indexes: { ...NOTHING_BUILT, ...state.indexes, ...counters } };
}

function planned(
  state: State,
  plan: Extract<Fact, { type: 'planned' }>['plan'],
  now: string,
): State {
  const { pass, tables, chunksDone, chunksTotal, rows, bytes, runs } = plan;
  const { estimatedRows, estimatedBytes } = plan;
  const counters = { tables, chunksDone, chunksTotal, rows, bytes, estimatedRows, estimatedBytes };
  const next = { ...withTables(state, plan), snapshot: { pass, ...counters }, asOf: now };
  if (runs.length === 0) return next;
  const firstPass = state.firstPass ?? pass;
  // Rows of one snapshot are consistent; of several, only when the stream has applied everything up to the newest.
  return { ...next, firstPass, consistent: firstPass === pass };
}

function copied(
  state: State,
  result: Extract<Fact, { type: 'runCopied' }>['result'],
  now: string,
): State {
  const { snapshot } = state;
  if (!snapshot) return state;
  const { chunks, rows, bytes } = result;
  const counters = {
    chunksDone: snapshot.chunksDone + chunks,
    ...{ rows: snapshot.rows + rows, bytes: snapshot.bytes + bytes },
  };
  return { ...withTables(state, result), snapshot: { ...snapshot, ...counters }, asOf: now };
}

/** The tables' states, if the step reported them. Runs end in any order; the plan after the last one corrects an older report. */
function withTables(state: State, { states }: { readonly states?: TableStates }): State {
  return states === undefined ? state : { ...state, tables: states };
}

/** The floor never falls: a target that is below it was restored, and the next lease has to notice. */
function confirmed(state: State, lsn: Lsn, now: string): State {
  const { confirmedLsn } = state;
  return {
    ...state,
    confirmedLsn: confirmedLsn === null ? lsn : maxLsn(confirmedLsn, lsn),
    asOf: now,
  };
}

/** Only a pause has a position to be sure of: a resume that came in between has ended it. */
function unsure(state: State, reason: Reason | null): State {
  if (state.stage.at !== 'paused') return state;
  return { ...state, stage: { at: 'paused', unsure: kept(reason) } };
}

/** A step that was cancelled may still report. */
function step(state: State, current: In<'cuttingOver'>['step']): State {
  if (state.stage.at !== 'cuttingOver') return state;
  return { ...state, stage: { at: 'cuttingOver', step: current } };
}

function failing(
  state: State,
  { code, reason, action }: Extract<Fact, { type: 'stepFailing' }>,
  now: string,
): State {
  if (state.stage.at !== 'cuttingOver' || state.stage.step === null) return state;
  const { step: current } = state.stage;
  const since = current.failing?.since ?? now;
  return step(state, { ...current, failing: { code, reason, action, since, seen: now } });
}
