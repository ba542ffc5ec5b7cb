/** What is known of a migration after each fact. Facts change no stage: transition.ts does. Pure. */
import type { DefinitionReport } from '../../contract/definition.ts';
import { maxLsn, type Lsn } from '../../contract/lsn.ts';
import type { TableStates } from '../../contract/table-state.ts';
import type { Fact } from './event.ts';
import { NO_WAY_BACK } from './back.ts';
import { addCopyNote, differenceNotes } from './notes.ts';
import type { Reason } from './reason.ts';
import { isDecided, STAGES, type In } from './stage.ts';
import type { State } from './state.ts';
import { verificationNoted } from './verification-fact.ts';

/** An attempt whose worker is unreachable may continue to apply until the target is fenced. */
const UNREPORTED: Reason = {
  code: 'Stalled',
  message: 'its last attempt ended without a report, and the target is being queried',
};

/** The state after something became known: the stage stays, its fields may change. */
export function noted(state: State, event: Fact, now: string): State {
  const { notes } = state;
  switch (event.type) {
    case 'preflightNoted':
      return { ...state, notes: { ...notes, preflight: event.notes } };
    case 'fenceChosen':
      return { ...state, fence: event.fence };
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
    case 'windowSet':
      return { ...state, window: event.window };
    case 'cutoverDropped': {
      const { held: _held, ...others } = state;
      return { ...others, dropped: event.why, asOf: now };
    }
    case 'slotCreated':
      return { ...state, confirmedLsn: event.consistentLsn };
    case 'planned':
      return planned(state, event.plan, now);
    case 'definitionsCompared':
      return { ...state, definitions: { report: withViews(state, event.report), at: now } };
    case 'readinessAssessed':
      return { ...state, readiness: { facts: event.facts, at: now } };
    case 'checksMeasured':
      return { ...state, checks: { seconds: event.seconds, at: now } };
    case 'findingsAccepted':
      return { ...state, accepted: [...new Set([...(state.accepted ?? []), ...event.codes])] };
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
    case 'armed':
      return boxed(state, { deadline: event.deadline });
    case 'sealed':
      return boxed(state, { deadline: null });
    case 'writesReturned':
    case 'sourceLooked':
    case 'oldOpened':
      // Only the course is about it.
      return state;
    case 'stepBegun':
      return step(spent(state, now), { step: event.step, since: now, failing: null });
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
    case 'settingsNoted':
      return { ...state, fenceSettings: event.settings };
    case 'wayBackOpened':
      // An earlier position may be of a server that is gone.
      return { ...state, wayBack: { ...recovered(state), ...NO_WAY_BACK, opened: true } };
    case 'wayBackAdvanced': {
      const wayBack = event.position === null ? (state.wayBack ?? NO_WAY_BACK) : recovered(state);
      return { ...state, wayBack: { ...wayBack, position: event.position } };
    }
    case 'wayBackFailed': {
      const { code, message: failed } = event.reason;
      const lost = code === 'SlotMissing' ? { lost: true } : {};
      const note = `the way back is not ready: ${failed}`;
      return { ...state, wayBack: { ...(state.wayBack ?? NO_WAY_BACK), note, failed, ...lost } };
    }
    case 'wayBackNoted':
      return { ...state, wayBack: { ...(state.wayBack ?? NO_WAY_BACK), note: event.note } };
    case 'placeWaited':
      return { ...state, placeWait: isDecided(state.stage.at) ? null : event.wait };
    case 'limitsStored': {
      const newest = state.limits ?? { values: event.values, version: event.version };
      return { ...state, limits: { ...newest, stored: event.version } };
    }
    case 'limitsUnstored':
      return { ...state, unstored: isDecided(state.stage.at) ? null : kept(event.reason) };
    case 'sliceBegun':
    case 'verificationPlanned':
    case 'piecesCompared':
    case 'rowsRepaired':
    case 'verificationFailing':
    case 'verificationFailed':
    case 'verificationEnded':
      return verificationNoted(state, event, now);
  }
}

/** Its slot answered: an earlier failure is over. */
function recovered({ wayBack = NO_WAY_BACK }: State): State['wayBack'] & object {
  const { failed, lost: _lost, ...others } = wayBack;
  return failed === undefined ? others : { ...others, note: null };
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
  const { stage } = state;
  if (stage.at !== 'cuttingOver' && stage.at !== 'fenced') return state;
  return { ...state, stage: { ...stage, step: current } };
}

function boxed(state: State, change: Partial<In<'fenced'>['box']>): State {
  const { stage } = state;
  if (stage.at !== 'fenced') return state;
  return { ...state, stage: { ...stage, box: { ...stage.box, ...change } } };
}

/** Within a box every step is timed, from its beginning to that of the next. */
function spent(state: State, now: string): State {
  const { stage } = state;
  if (stage.at !== 'fenced' || stage.step === null) return state;
  const seconds = (Date.parse(now) - Date.parse(stage.step.since)) / MS_PER_SECOND;
  const { step } = stage.step;
  const before = stage.box.spent.find((one) => one.step === step);
  if (before === undefined) return boxed(state, { spent: [...stage.box.spent, { step, seconds }] });
  // Repeated: a drain that its worker left early.
  const sum = { step, seconds: before.seconds + seconds };
  return boxed(state, { spent: stage.box.spent.map((one) => (one === before ? sum : one)) });
}

const MS_PER_SECOND = 1000;

function failing(
  state: State,
  { code, reason, action }: Extract<Fact, { type: 'stepFailing' }>,
  now: string,
): State {
  const { stage } = state;
  if ((stage.at !== 'cuttingOver' && stage.at !== 'fenced') || stage.step === null) return state;
  const { step: current } = stage;
  const since = current.failing?.since ?? now;
  return step(state, { ...current, failing: { code, reason, action, since, seen: now } });
}

/** Only a verification compares the contents of materialized views: what it has found stands until the next one. */
function withViews({ definitions }: State, report: DefinitionReport): DefinitionReport {
  const views = report.views ?? definitions?.report.views;
  return views === undefined ? report : { ...report, views };
}
