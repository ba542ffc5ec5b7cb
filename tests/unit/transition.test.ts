/** No sequence of events leads to a state that does not exist; docs/reference/states.md shows the moves. */
import type { MigrationSummary } from '../../contract/work.ts';
import { describe, expect, it, test } from 'vitest';
import { MOST_APPROVALS } from '../../contract/approval.ts';
import { FAILURES, type FailureCode } from '../../contract/failure-catalogue.ts';
import { UNLIMITED } from '../../contract/limits.ts';
import { parseLsn } from '../../contract/lsn.ts';
import {
  MOST_CUTOVERS,
  MOST_LAG_SAMPLES,
  MOST_STEPS,
  MOST_STOPS,
  NO_COURSE,
} from '../../contract/record.ts';
import type { Event } from '../../workflows/state/event.ts';
import { rule, UPDATES } from '../../workflows/state/policy.ts';
import { ALL_STAGES, STAGES, type At } from '../../workflows/state/stage.ts';
import { carriedState, initialState, type State } from '../../workflows/state/state.ts';
import { destination, IllegalMove, MOVES, transition } from '../../workflows/state/transition.ts';
import { drawn, type Pick } from '../support/random/pick.ts';
import { verificationReport } from '../support/verification-report.ts';

const WALKS = 200;
/** Nothing follows them: most walks go on instead. */
const ENDS = new Set(['abort', 'cancelled', 'failed']);
const STEPS = 120;
const NOW = '2026-11-27T10:00:00.000Z';
const WINDOWS = [1, 2].map((day) => ({
  from: `2026-12-0${day}T01:00:00.000Z`,
  to: `2026-12-0${day}T02:00:00.000Z`,
}));

const MOVE_TYPES = Object.keys(MOVES).filter((type): type is keyof typeof MOVES => type in MOVES);

function reasonFrom(pick: Pick) {
  const code = pick.one(
    Object.keys(FAILURES).filter((name): name is FailureCode => name in FAILURES),
  );
  return { code, message: 'why' };
}

const SUMMARY: MigrationSummary = {
  ...{ summary: 'done', source: 'a', target: 'b', confirmedLsn: parseLsn('0/1') },
  ...{ tables: 1, rows: 1, copiedRows: 1, copiedBytes: 1, sequences: 1 },
  ...{ transactions: 1, changes: 1, seconds: 1 },
};

const RIGHT = { what: 'rights of app: INSERT on public.a', undo: 'grant INSERT on a to app' };

/** One event of each kind, with values that may or may not make sense now. */
function events(pick: Pick): Event[] {
  const reason = reasonFrom(pick);
  const lsn = parseLsn(`0/${(16 + pick.below(1000)).toString(16).toUpperCase()}`);
  const counts = { transactions: pick.below(9), changes: pick.below(9) };
  const run = { id: 'copy-1', label: 'public.t', firstChunk: 1, lastChunk: 2 };
  const waiting = { step: 'stream', code: reason.code, reason: 'why', action: 'do it' };
  const moves: Event[] = MOVE_TYPES.map((type): Event => {
    if (type === 'operatorNeeded') return { type, waiting };
    if (type === 'setLimits') return { type, values: UNLIMITED, version: pick.below(9), stored: 0 };
    if (type === 'verify' || type === 'repair') return { type, id: idFrom(pick), by: 'operator' };
    if (type === 'boxBegun') return { type, cutover: 'migration/1', changes: [RIGHT] };
    if (type === 'cutoverHeld') return { type, request: { compare: 'exact' } };
    if (type === 'approve') return { type, given: { name: pick.one(['a', 'b']), note: '' } };
    if (type === 'cutoverUndone') return { type, reason };
    if (type === 'wayBackBegun') return { type, at: lsn, back: { until: NOW, summary: SUMMARY } };
    return { type };
  });
  return [
    ...moves,
    { type: 'preflightNoted', notes: ['n'] },
    {
      type: 'schemaCopied',
      totals: { indexes: 1, constraints: null },
      leftOut: undefined,
      notes: [],
    },
    { type: 'slotBegun' },
    { type: 'sourceLooked', stays: pick.chance(0.5) ? [RIGHT] : [] },
    { type: 'oldOpened' },
    { type: 'windowSet', window: pick.one(WINDOWS) },
    { type: 'cutoverDropped', why: 'the window has passed' },
    { type: 'slotCreated', consistentLsn: lsn },
    {
      type: 'planned',
      plan: {
        ...{ pass: 1 + pick.below(3), tables: 1, chunksDone: 0, chunksTotal: 2, rows: 0, bytes: 0 },
        ...{ estimatedRows: 1, estimatedBytes: 1, parallelism: 1 },
        runs: pick.chance(0.5) ? [run] : [],
      },
    },
    { type: 'guardBegun' },
    {
      type: 'guardReported',
      report: { measure: 'query', value: 1, ceiling: 2, holding: pick.chance(0.5) },
    },
    {
      type: 'runCopied',
      result: {
        ...{ chunks: 1, skipped: 0, rows: 5, bytes: 50 },
        ...(pick.chance(0.5) ? { states: { counts: { copying: 1 }, unready: [] } } : {}),
      },
    },
    { type: 'runFailed', run, reason },
    { type: 'copyStopped' },
    { type: 'rowsCopied' },
    { type: 'indexesBuilt', built: 1, total: 2 },
    { type: 'tablesAnalyzed', tables: 1 },
    { type: 'constraintsListed', built: null, total: 2 },
    { type: 'constraintsBuilt' },
    { type: 'constraintsLost' },
    { type: 'viewsRefreshed', skipped: ['v'] },
    { type: 'resyncNeeded', reason },
    { type: 'attemptBegun' },
    {
      type: 'attemptReported',
      report: {
        ...{ ...counts, confirmedLsn: lsn, receivedLsn: lsn, lagBytes: 1, lagSeconds: 1, rate: 1 },
        ...{ reached: true, consistent: pick.chance(0.5) },
      },
    },
    { type: 'fenced', checkpoint: { confirmedLsn: lsn, ...counts } },
    { type: 'positionUnknown', reason: pick.chance(0.5) ? reason : null },
    { type: 'armed', deadline: NOW },
    { type: 'sealed' },
    { type: 'stepBegun', step: 'drain' },
    { type: 'stepFailing', code: reason.code, reason: 'why', action: 'do it' },
    { type: 'triggersEnabled' },
    { type: 'triggersDisabled' },
    { type: 'differencesFound', differences: ['d'] },
    {
      type: 'definitionsCompared',
      report: { differences: [], more: 0, wrong: 0, notCompared: [] },
    },
    { type: 'wayBackOpened' },
    { type: 'wayBackAdvanced', position: pick.chance(0.5) ? lsn : null },
    { type: 'wayBackFailed', reason },
    { type: 'wayBackNoted', note: pick.chance(0.5) ? 'n' : null },
    { type: 'placeWaited', wait: pick.chance(0.5) ? { since: NOW, reason: 'full' } : null },
    { type: 'limitsStored', values: UNLIMITED, version: 1 },
    { type: 'limitsUnstored', reason: pick.chance(0.5) ? reason : null },
    ...verificationFacts(pick),
  ];
}

/** Few, so that facts often meet the verification that runs. */
const idFrom = (pick: Pick): string => pick.one(['first', 'second']);

function verificationFacts(pick: Pick): Event[] {
  const id = idFrom(pick);
  const reason = reasonFrom(pick);
  const plan = { runs: [], parallelism: 1, tables: 2, tablesDone: 0, pieces: 4, done: 1 };
  return [
    { type: 'sliceBegun', id },
    { type: 'verificationPlanned', id, plan },
    { type: 'piecesCompared', id, report: { pieces: pick.below(9), rows: 5, bytes: 50 } },
    { type: 'rowsRepaired', id, report: { rows: 1, tables: 1 } },
    { type: 'verificationFailing', id, reason },
    { type: 'verificationFailed', id, reason },
    { type: 'verificationEnded', id, report: verificationReport(id, pick.chance(0.5)) },
  ];
}

function isLegalMove({ type }: Event, at: At): boolean {
  const move = MOVE_TYPES.find((one) => one === type);
  return move !== undefined && destination(move, at) !== undefined;
}

test('no sequence of events reaches a state that does not exist, and a refused one changes nothing', () => {
  const pick = drawn();
  const met = new Set<At>();
  for (let walk = 0; walk < WALKS; walk += 1) {
    let state: State = initialState(new Date(NOW));
    for (let step = 0; step < STEPS; step += 1) {
      const possible = events(pick).filter(({ type }) => !ENDS.has(type) || pick.chance(0.05));
      const legal = possible.filter((event) => isLegalMove(event, state.stage.at));
      // Half of all events are legal moves: a walk gets far, and is refused often.
      const event = pick.one(pick.chance(0.5) && legal.length > 0 ? legal : possible);
      const before = state;
      const text = JSON.stringify(before);
      let refused = false;
      try {
        state = transition(state, event, NOW);
      } catch (error) {
        expect(error).toBeInstanceOf(IllegalMove);
        refused = true;
      }
      // As text, which is the form in which the next run gets it: deep comparisons would take most of the time.
      if (JSON.stringify(before) !== text)
        expect.fail(`${event.type} has changed an earlier state`);
      if (refused) expect(state).toBe(before);
      else expectCarried(state);
      for (const update of UPDATES) {
        const ruling = rule(update, state.stage.at);
        if (!ruling.allowed && ruling.text === '') expect.fail(`${update} has no refusal`);
      }
      expectKeptRequest(before, state, refused ? undefined : event);
      expectBoundedCourse(state);
      met.add(state.stage.at);
    }
  }
  expect([...met].sort()).toEqual([...ALL_STAGES].sort());
});

function expectCarried(state: State): void {
  const text = JSON.stringify(state);
  const carried = JSON.stringify(carriedState(JSON.parse(text)));
  if (carried !== text) expect(carried).toBe(text);
}

/** A cutover that waits is never forgotten, and never outlives its end. */
function expectKeptRequest(before: State, after: State, event: Event | undefined): void {
  if (after.held && STAGES[after.stage.at].ending) {
    // A release that began, or an end, has no request that waits.
    expect.fail(`a request waits in stage ${after.stage.at}`);
  }
  if (!before.held || after.held) return;
  const ends = [
    'finalize',
    'wayBackOver',
    // A rehearsal never switches, but the walk does not know which it is.
    ...['switched', 'releaseBegun'],
    'cutover',
    'cutoverDropped',
    'abort',
    'cancelled',
    'failed',
  ];
  expect(ends).toContain(event?.type);
}

/** Without the runner's comparisons, of which there would be hundreds of thousands. */
function expectBoundedCourse({ course = NO_COURSE, approvals = [] }: State): void {
  const { lag, cutovers, stops } = course;
  const bounded =
    lag.length <= MOST_LAG_SAMPLES &&
    cutovers.length <= MOST_CUTOVERS &&
    stops.length <= MOST_STOPS &&
    approvals.length <= MOST_APPROVALS &&
    cutovers.every(({ steps }) => steps.length <= MOST_STEPS);
  // One at a time.
  const open =
    cutovers.slice(0, -1).some(({ end }) => !end) ||
    stops.slice(0, -1).some(({ until }) => until === undefined);
  if (!bounded || open) expect.fail(`not bounded, or two at a time: ${JSON.stringify(course)}`);
}

describe('facts', () => {
  const at = (stage: State['stage']): State => ({ ...initialState(new Date(NOW)), stage });

  it('of an attempt that ends after the pause was over do not make its position unknown', () => {
    const reason = { code: 'Unreachable', message: 'gone' } as const;
    const state = transition(at({ at: 'streaming' }), { type: 'positionUnknown', reason }, NOW);
    expect(state.stage).toEqual({ at: 'streaming' });
  });

  it('of a step that was cancelled do not bring the cutover back', () => {
    const state = transition(
      at({ at: 'paused', unsure: null }),
      { type: 'stepBegun', step: 's' },
      NOW,
    );
    expect(state.stage).toEqual({ at: 'paused', unsure: null });
  });

  it('of limits that are not in force outlive a release that is undone, and end with the migration', () => {
    const reason = { code: 'Denied', message: 'no' } as const;
    const unstored = { ...at({ at: 'cuttingOver', step: null }), unstored: reason };
    const releasing = transition(unstored, { type: 'releaseBegun' }, NOW);
    expect(transition(releasing, { type: 'cutoverUndone' }, NOW).unstored).toEqual(reason);
    const aborting = transition(unstored, { type: 'abort' }, NOW);
    expect(aborting.unstored).toBeNull();
    expect(transition(aborting, { type: 'limitsUnstored', reason }, NOW).unstored).toBeNull();
    const wait = { since: NOW, reason: 'full' };
    expect(transition(aborting, { type: 'placeWaited', wait }, NOW).placeWait).toBeNull();
  });

  it('show the tables as the last plan, run or lease reported them', () => {
    const states = (of: 'copying' | 'ready') => ({ counts: { [of]: 1 }, unready: [] });
    const plan = {
      ...{ pass: 1, tables: 1, chunksDone: 0, chunksTotal: 2, rows: 0, bytes: 0 },
      ...{ estimatedRows: 1, estimatedBytes: 1, parallelism: 1, runs: [] },
    };
    const copying = at({ at: 'copying' });
    const planned = transition(
      copying,
      { type: 'planned', plan: { ...plan, states: states('copying') } },
      NOW,
    );
    expect(planned.tables).toEqual(states('copying'));
    const result = { chunks: 1, skipped: 0, rows: 5, bytes: 50 };
    expect(transition(planned, { type: 'runCopied', result }, NOW).tables).toEqual(planned.tables);
    const done = { ...result, states: states('ready') };
    expect(transition(planned, { type: 'runCopied', result: done }, NOW).tables).toEqual(
      states('ready'),
    );
    const lsn = parseLsn('0/20');
    const report = {
      ...{ confirmedLsn: lsn, receivedLsn: lsn, transactions: 1, changes: 1, lagBytes: 0 },
      ...{ lagSeconds: 0, rate: 0, consistent: true, reached: false, states: states('ready') },
    };
    expect(transition(planned, { type: 'attemptReported', report }, NOW).tables).toEqual(
      states('ready'),
    );
  });

  it('never lower the confirmed LSN', () => {
    const high = { ...at({ at: 'streaming' }), confirmedLsn: parseLsn('0/20') };
    const checkpoint = { confirmedLsn: parseLsn('0/10'), transactions: 1, changes: 1 };
    expect(transition(high, { type: 'fenced', checkpoint }, NOW).confirmedLsn).toBe('0/20');
  });
});
