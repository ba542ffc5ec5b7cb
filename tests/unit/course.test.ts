/** What a migration remembers of its course, for the report. */
import { expect, test } from 'vitest';
import { LagSamples } from '../../activities/lag-samples.ts';
import { formatLsn, parseLsn } from '../../contract/lsn.ts';
import { MOST_LAG_SAMPLES } from '../../contract/record.ts';
import type { Heartbeat, LeaseReport, MigrationSummary, Work } from '../../contract/work.ts';
import type { Event } from '../../workflows/state/event.ts';
import { initialState, type State } from '../../workflows/state/state.ts';
import { transition } from '../../workflows/state/transition.ts';

const BEGIN = Date.parse('2026-11-27T10:00:00.000Z');
const at = (seconds: number): string => new Date(BEGIN + seconds * 1000).toISOString();
const lsn = parseLsn('0/10');

const report = (lagBytes: number, lag: LeaseReport['lag'] = []): LeaseReport => ({
  ...{ confirmedLsn: lsn, receivedLsn: lsn, transactions: 1, changes: 1, lagBytes },
  ...{ lagSeconds: 0, rate: 0, consistent: true, reached: false, lag },
});
const streaming: State = { ...initialState(new Date(BEGIN)), stage: { at: 'streaming' } };

test('the lag of a month fits, from its first lease to its last, and its peaks stay', () => {
  const LEASES = 8_640;
  const PEAK = 4_321;
  let state = streaming;
  for (let lease = 0; lease < LEASES; lease += 1) {
    const bytes = lease === PEAK ? 1_000_000_000 : lease % 100;
    state = transition(state, { type: 'attemptReported', report: report(bytes) }, at(lease * 300));
  }
  const lag = state.course?.lag ?? [];
  expect(lag.length).toBeLessThanOrEqual(MOST_LAG_SAMPLES);
  expect(lag.length).toBeGreaterThan(MOST_LAG_SAMPLES / 3);
  expect(Math.max(...lag.map(({ bytes }) => bytes))).toBe(1_000_000_000);
  expect(Date.parse(lag[0]?.at ?? '') - BEGIN).toBeLessThan((LEASES * 300_000) / 50);
  expect(lag.at(-1)?.at).toBe(at((LEASES - 1) * 300));
  expect(lag.map((one) => one.at)).toEqual(lag.map((one) => one.at).sort());
});

test('samples of a lease count from its end', () => {
  const during = [
    { secondsBefore: 60, bytes: 5, seconds: 1 },
    { secondsBefore: 30, bytes: 7, seconds: 2 },
  ];
  const event: Event = { type: 'attemptReported', report: report(3, during) };
  expect(transition(streaming, event, at(300)).course?.lag).toEqual([
    { at: at(240), bytes: 5, seconds: 1 },
    { at: at(270), bytes: 7, seconds: 2 },
    { at: at(300), bytes: 3, seconds: 0 },
  ]);
});

test('a lease of an hour has at most 24 samples, over all of its time', () => {
  let now = 0;
  const sent: Heartbeat[] = [];
  const samples = new LagSamples(() => now);
  const work: Work = samples.watching({
    signal: new AbortController().signal,
    beat: (details) => void sent.push(details),
    log: { info: () => undefined, warn: () => undefined },
  });
  for (let second = 0; second < 3600; second += 1) {
    now = second * 1000;
    work.beat({ phase: 'stream', lagBytes: second, lagSeconds: 1 });
    work.beat({ step: 'streamChanges' });
  }
  const { lag = [] } = samples.addedTo(report(0));
  expect(sent).toHaveLength(7_200);
  expect(lag.length).toBeLessThanOrEqual(24);
  expect(lag.length).toBeGreaterThan(8);
  expect(lag[0]).toEqual({ secondsBefore: 3599, bytes: 0, seconds: 1 });
  expect(lag.at(-1)?.secondsBefore).toBeLessThan(600);
  // Nothing was measured: no field, as in a report of earlier code.
  expect(new LagSamples().addedTo(report(0))).toEqual(report(0));
});

test('every cutover is remembered with its steps, its end and why', () => {
  const events: [Event, number][] = [
    [{ type: 'cutover' }, 10],
    [{ type: 'stepBegun', step: 'write end mark' }, 11],
    // A second call joins.
    [{ type: 'cutover' }, 12],
    [{ type: 'stepBegun', step: 'drain' }, 13],
    [{ type: 'cutoverUndone', reason: { code: 'NotEqual', message: 'public.t: 1 and 2' } }, 20],
    [{ type: 'cutover' }, 30],
    [{ type: 'releaseBegun' }, 31],
    [{ type: 'completed' }, 32],
  ];
  const state = events.reduce(
    (one, [event, second]) => transition(one, event, at(second)),
    streaming,
  );
  expect(state.course?.cutovers).toEqual([
    {
      at: at(10),
      steps: [
        { step: 'write end mark', at: at(11) },
        { step: 'drain', at: at(13) },
      ],
      end: { at: at(20), how: 'undone', code: 'NotEqual', reason: 'public.t: 1 and 2' },
    },
    {
      at: at(30),
      steps: [{ step: 'release the slot', at: at(31) }],
      end: { at: at(32), how: 'done' },
    },
  ]);
});

test('how long writes were stopped is remembered of rehearsals, undone cutovers, the switch and the switch back', () => {
  const box: Event = { type: 'boxBegun', cutover: 'm/1' };
  const back = { until: at(999), summary: { summary: 'done' } as MigrationSummary };
  const events: (readonly [Event, number])[] = [
    // Without the fence: no write is stopped.
    [{ type: 'rehearse' }, 1],
    [{ type: 'cutoverUndone', rehearsed: true }, 2],
    [{ type: 'rehearse' }, 10],
    [box, 11],
    [{ type: 'writesReturned' }, 13],
    [{ type: 'cutoverUndone', rehearsed: true }, 14],
    [{ type: 'cutover' }, 20],
    [box, 21],
    // The answer to the operator comes before the end of the undo.
    [{ type: 'cutoverCancelled' }, 22],
    [{ type: 'writesReturned' }, 24],
    [{ type: 'resume' }, 25],
    [{ type: 'cutover' }, 30],
    [box, 31],
    [{ type: 'switched', downtimeMs: 1_250 }, 33],
    [{ type: 'wayBackBegun', at: formatLsn(9n), back }, 35],
    [{ type: 'cutover' }, 40],
    [box, 41],
    [{ type: 'switched', downtimeMs: null }, 43],
    [{ type: 'completed' }, 44],
  ];
  const state = events.reduce(
    (one, [event, second]) => transition(one, event, at(second)),
    streaming,
  );
  const shown = state.course?.cutovers.map(
    ({ kind = 'cutover', stoppedSeconds, stoppedAt, end }) => ({
      ...{ kind, stoppedAt, stoppedSeconds, how: end?.how },
    }),
  );
  expect(shown).toEqual([
    { kind: 'rehearsal', stoppedAt: undefined, stoppedSeconds: undefined, how: 'done' },
    { kind: 'rehearsal', stoppedAt: at(11), stoppedSeconds: 2, how: 'done' },
    { kind: 'cutover', stoppedAt: at(21), stoppedSeconds: 3, how: 'cancelled' },
    { kind: 'cutover', stoppedAt: at(31), stoppedSeconds: 1.25, how: 'done' },
    { kind: 'switchback', stoppedAt: at(41), stoppedSeconds: null, how: 'done' },
  ]);
});

test('writes that come back by themselves at the deadline were not stopped until the undo, unless a seal was tried', () => {
  const HOURS = 8 * 3600;
  const stoppedFor = (deadline: string | null, ...between: (readonly [Event, number])[]) => {
    const events: (readonly [Event, number])[] = [
      [{ type: 'cutover' }, 0],
      [{ type: 'boxBegun', cutover: 'm/1' }, 1],
      [{ type: 'armed', deadline, seconds: 30 }, 4],
      ...between,
      [{ type: 'stepBegun', step: 'undo the cutover' }, 20],
    ];
    const undone = [...events, [{ type: 'writesReturned' }, HOURS + 1] as const];
    const state = (list: typeof events) =>
      list.reduce((one, [event, second]) => transition(one, event, at(second)), streaming);
    const [meanwhile] = state(events).course?.cutovers ?? [];
    const [after] = state(undone).course?.cutovers ?? [];
    return { returnsBy: meanwhile?.returnsBy, seconds: after?.stoppedSeconds, left: after };
  };
  // By the workflow's clock: 30 s after the answer of the step that has stopped them, at the latest.
  const expired = stoppedFor(at(31));
  expect(expired).toMatchObject({ returnsBy: at(34), seconds: 33 });
  expect(expired.left).not.toHaveProperty('returnsBy');
  const sealed = stoppedFor(at(31), [{ type: 'stepBegun', step: 'seal the source' }, 10]);
  expect(sealed).toMatchObject({ returnsBy: undefined, seconds: HOURS });
  // Rights that are revoked have no deadline.
  expect(stoppedFor(null)).toMatchObject({ returnsBy: undefined, seconds: HOURS });
});

test('a wait for the operator is remembered until it ends, by resume or with the migration', () => {
  const waiting = { step: 'stream', code: 'RowMissing', reason: 'why', action: 'do' } as const;
  const waits = transition(streaming, { type: 'operatorNeeded', waiting }, at(1));
  const resumed = transition(waits, { type: 'resume' }, at(5));
  const again = transition(resumed, { type: 'operatorNeeded', waiting }, at(6));
  expect(transition(again, { type: 'abort' }, at(9)).course?.stops).toEqual([
    { at: at(1), step: 'stream', code: 'RowMissing', until: at(5) },
    { at: at(6), step: 'stream', code: 'RowMissing', until: at(9) },
  ]);
});
