/** No sequence of events leads to a state that does not exist; docs/reference/states.md shows the moves. */
import type { MigrationSummary } from '../../contract/work.ts';
import { describe, expect, it, test } from 'vitest';
import { FAILURES, type FailureCode } from '../../contract/failure-catalogue.ts';
import { UNLIMITED } from '../../contract/limits.ts';
import { parseLsn } from '../../contract/lsn.ts';
import type { Event } from '../../workflows/state/event.ts';
import { rule, UPDATES } from '../../workflows/state/policy.ts';
import { ALL_STAGES, type At } from '../../workflows/state/stage.ts';
import { carriedState, initialState, type State } from '../../workflows/state/state.ts';
import { destination, IllegalMove, MOVES, transition } from '../../workflows/state/transition.ts';
import { drawn, type Pick } from '../support/random/pick.ts';

const WALKS = 300;
/** Nothing follows them: most walks go on instead. */
const ENDS = new Set(['abort', 'cancelled', 'failed']);
const STEPS = 120;
const NOW = '2026-11-27T10:00:00.000Z';

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
    if (type === 'boxBegun') return { type, cutover: 'migration/1' };
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
    { type: 'wayBackOpened' },
    { type: 'wayBackAdvanced', position: pick.chance(0.5) ? lsn : null },
    { type: 'wayBackNoted', note: pick.chance(0.5) ? 'n' : null },
    { type: 'placeWaited', wait: pick.chance(0.5) ? { since: NOW, reason: 'full' } : null },
    { type: 'limitsStored', values: UNLIMITED, version: 1 },
    { type: 'limitsUnstored', reason: pick.chance(0.5) ? reason : null },
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
      const before = structuredClone(state);
      let refused = false;
      try {
        state = transition(state, event, NOW);
      } catch (error) {
        expect(error).toBeInstanceOf(IllegalMove);
        refused = true;
      }
      if (refused) expect(state).toEqual(before);
      expect(carriedState(JSON.parse(JSON.stringify(state)))).toEqual(
        JSON.parse(JSON.stringify(state)),
      );
      for (const update of UPDATES) {
        const ruling = rule(update, state.stage.at);
        expect(ruling.allowed || ruling.text !== '').toBe(true);
      }
      met.add(state.stage.at);
    }
  }
  expect([...met].sort()).toEqual([...ALL_STAGES].sort());
});

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
