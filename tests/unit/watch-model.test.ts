import { expect, test } from 'vitest';
import { parseLsn } from '../../contract/lsn.ts';
import type { Progress, SnapshotCounters } from '../../contract/progress.ts';
import { ProgressModel } from '../../scripts/watch/model.ts';
import type { LiveActivity, Sample } from '../../scripts/watch/sample.ts';

const SNAPSHOT: SnapshotCounters = {
  pass: 1,
  tables: 2,
  chunksDone: 0,
  chunksTotal: 10,
  rows: 0,
  bytes: 0,
  estimatedRows: 1000,
  estimatedBytes: 90_000,
};

function progress(changed: Partial<Progress> = {}): Progress {
  return {
    phase: 'snapshot',
    state: 'running',
    waiting: null,
    source: 'a',
    target: 'b',
    slot: 'walferry_x',
    confirmedLsn: parseLsn('0/10'),
    snapshot: SNAPSHOT,
    stream: null,
    startedAt: {},
    ...changed,
  };
}

function sample(seconds: number, changed: Partial<Sample> = {}): Sample {
  return {
    at: seconds * 1000,
    status: 'RUNNING',
    progress: progress(),
    activities: [],
    trouble: undefined,
    ...changed,
  };
}

const activity = (
  type: string,
  heartbeat: object,
  attempt = 1,
  failure?: string,
): LiveActivity => ({
  type,
  attempt,
  worker: undefined,
  heartbeat: { ...heartbeat },
  ...{ live: true, heardAt: '2026-11-21T09:41:07.000Z' },
  failure,
});
const copying = (rows: number, bytes: number) => activity('copyChunks', { rows, bytes });

test('rows and bytes are those of finished chunks plus those of the heartbeats', () => {
  const view = new ProgressModel().view(
    sample(0, {
      progress: progress({ snapshot: { ...SNAPSHOT, chunksDone: 2, rows: 200, bytes: 2000 } }),
      activities: [copying(30, 300), copying(20, 200), activity('holdSnapshot', { rows: 9 })],
    }),
  );
  expect(view.copy).toMatchObject({ rows: 250, bytes: 2500, fraction: 0.25, chunksDone: 2 });
});

test('limits and the guard are shown, the guard as its newest heartbeat says', () => {
  const limits = {
    ...{ copyStreams: 0, copyBytesPerSecond: 1_000_000, applyChangesPerSecond: 0 },
    guard: 'on' as const,
  };
  const measured = {
    ...({ holding: false, measure: 'query', value: 1, ceiling: 10 } as const),
    since: '2026-11-21T09:41:07.000Z',
  };
  const throttleOf = (guard: typeof measured | null, heartbeat: object) =>
    new ProgressModel().view(
      sample(0, {
        progress: progress({ limits, guard }),
        activities: [activity('holdSnapshot', heartbeat)],
      }),
    ).throttle;
  expect(throttleOf(null, {})).toBe('limits: copy 1.0 MB/s');
  expect(throttleOf(measured, {})).toBe('limits: copy 1.0 MB/s; guard: query 1, ceiling 10');
  expect(throttleOf(measured, { guard: 'query 63, ceiling 10', guardHolding: true })).toBe(
    'limits: copy 1.0 MB/s; held by the guard: query 63, ceiling 10',
  );
  expect(new ProgressModel().view(sample(0)).throttle).toBeUndefined();
});

test('rate and ETA follow from the last seconds', () => {
  const model = new ProgressModel();
  for (let second = 0; second <= 4; second++) {
    model.view(sample(second, { activities: [copying(second * 100, second * 1000)] }));
  }
  const { copy } = model.view(sample(5, { activities: [copying(500, 5000)] }));
  expect(copy).toMatchObject({ rowsPerSecond: 100, bytesPerSecond: 1000, fraction: 0.5 });
  expect(copy?.etaSeconds).toBeCloseTo(5);
});

test('after a gap in the samples the rate is that over the gap, not none', () => {
  const model = new ProgressModel();
  model.view(sample(0, { activities: [copying(100, 1000)] }));
  model.view(sample(1, { activities: [copying(200, 2000)] }));
  const { copy } = model.view(sample(21, { activities: [copying(600, 6000)] }));
  expect(copy).toMatchObject({ rowsPerSecond: 20, bytesPerSecond: 200 });
});

test('a killed worker whose chunks start over never lets the numbers fall; the rate falls to zero', () => {
  const model = new ProgressModel();
  model.view(sample(0, { activities: [copying(0, 0)] }));
  model.view(sample(1, { activities: [copying(400, 4000)] }));
  for (let second = 2; second <= 9; second++) {
    expect(model.view(sample(second)).copy).toMatchObject({ rows: 400, bytes: 4000 });
  }
  const view = model.view(sample(10, { activities: [copying(100, 1000)] }));
  expect(view.copy).toMatchObject({ rows: 400, rowsPerSecond: 0, etaSeconds: undefined });
});

test('another pass copies tables again, and then the numbers may fall', () => {
  const model = new ProgressModel();
  model.view(sample(0, { activities: [copying(800, 8000)] }));
  const next = { ...SNAPSHOT, pass: 2, chunksDone: 1, rows: 100, bytes: 1000 };
  const view = model.view(sample(1, { progress: progress({ snapshot: next }) }));
  expect(view.copy).toMatchObject({ rows: 100, bytes: 1000, fraction: 0.1 });
});

test('a wrong estimate never shows 100 % before every chunk is marked', () => {
  const model = new ProgressModel();
  expect(model.view(sample(0, { activities: [copying(5000, 1)] })).copy?.fraction).toBe(0.99);
  const done = { ...SNAPSHOT, chunksDone: 10, rows: 5000 };
  expect(model.view(sample(1, { progress: progress({ snapshot: done }) })).copy?.fraction).toBe(1);
});

test('without an estimate the marked chunks count', () => {
  const snapshot = { ...SNAPSHOT, estimatedRows: 0, chunksDone: 3 };
  const view = new ProgressModel().view(sample(0, { progress: progress({ snapshot }) }));
  expect(view.copy?.fraction).toBeCloseTo(0.3);
});

test('the stream shows its heartbeat, and the last one seen while there is none', () => {
  const model = new ProgressModel();
  const stream = {
    ...{ transactions: 5, changes: 50, lagBytes: 7, lagSeconds: 1, rate: 10, leases: 1 },
  };
  const streaming = progress({ phase: 'stream', stream });
  const live = activity('streamChanges', {
    ...{ confirmedLsn: '0/20', lagBytes: 0, lagSeconds: 0, transactions: 6, changes: 60 },
  });
  model.view(sample(0, { progress: streaming }));
  const view = model.view(sample(1, { progress: streaming, activities: [live] }));
  expect(view).toMatchObject({
    confirmedLsn: '0/20',
    stream: { transactions: 6, changes: 60, lagBytes: 0, changesPerSecond: 10 },
  });
  const between = model.view(sample(2, { progress: streaming }));
  expect(between).toMatchObject({
    // Between two attempts nothing falls back to the older checkpoint.
    confirmedLsn: '0/20',
    stream: { transactions: 6, changes: 60, lagBytes: 7, lagSeconds: 1 },
  });
});

const STREAMED = {
  ...{ transactions: 5, changes: 50, lagBytes: 7, lagSeconds: 1, rate: 10, leases: 1 },
};

test('numbers that no running attempt reports are marked as old', () => {
  const asOf = '2026-11-21T09:00:00.000Z';
  const checkpoint = progress({ phase: 'stream', stream: STREAMED, asOf });
  const numbers = { confirmedLsn: '0/20', transactions: 6, changes: 60, lagBytes: 0 };
  const beating = activity('streamChanges', numbers);
  const age = (model: ProgressModel, ...activities: LiveActivity[]) =>
    model.view(sample(0, { progress: checkpoint, activities })).stream?.age;

  // A watch that starts after the kill knows only the checkpoint.
  expect(age(new ProgressModel())).toBe('as of 2026-11-21 09:00:00 UTC');
  const starting = activity('streamChanges', { phase: 'stream', step: 'starting' }, 2);
  expect(age(new ProgressModel(), starting)).toBe('as of 2026-11-21 09:00:00 UTC');
  // Or the last heartbeat of the attempt that died.
  expect(age(new ProgressModel(), { ...beating, attempt: 2, live: false })).toBe(
    'as of 2026-11-21 09:41:07 UTC',
  );
  // One that ran before shows what it saw.
  const model = new ProgressModel();
  expect(age(model, beating)).toBeUndefined();
  expect(age(model, starting)).toBe('as of 2026-11-21 09:41:07 UTC');
  // The first lease has reported nothing yet.
  const first = progress({ phase: 'stream', stream: null });
  expect(new ProgressModel().view(sample(0, { progress: first })).stream).toBeUndefined();
});

test('indexes are counted while they are built: those of earlier attempts and those of this one', () => {
  const indexes = {
    ...{ indexesBuilt: null, indexesTotal: 14, tablesAnalyzed: null },
    ...{ constraintsBuilt: null, constraintsTotal: 3 },
  };
  const building = progress({ phase: 'indexes', indexes });
  const live = activity('buildIndexes', { step: 'building indexes', done: 2, total: 4 }, 2);
  const view = new ProgressModel().view(sample(0, { progress: building, activities: [live] }));
  expect(view.indexes).toEqual({ ...indexes, indexesBuilt: 12 });
  const silent = new ProgressModel().view(sample(0, { progress: building }));
  expect(silent.indexes).toEqual(indexes);
  const later = progress({ phase: 'stream', indexes });
  expect(new ProgressModel().view(sample(0, { progress: later })).indexes).toBeUndefined();
});

test('a cutover shows its step and what it keeps failing with, and no names of activities', () => {
  const failing = { code: 'Unreachable', reason: 'no answer', action: 'Look at it.' } as const;
  const cutover = {
    step: 'drain to 0/30',
    since: '',
    failing: { ...failing, since: '', seen: '' },
  };
  const view = new ProgressModel().view(
    sample(0, {
      progress: progress({ phase: 'cutover', cutover }),
      activities: [activity('streamChanges', { step: 'streamChanges' })],
    }),
  );
  expect(view.step).toBe('drain to 0/30');
  expect(view.troubles).toEqual(['keeps failing: no answer (Unreachable); Look at it.']);
  const beginning = [activity('buildIndexes', { step: 'buildIndexes' })];
  expect(new ProgressModel().view(sample(0, { activities: beginning })).step).toBeUndefined();
});

test('a wait for a free worker place is shown once, with its start, and not as a failed attempt', () => {
  const placeWait = {
    since: '2026-11-21T09:41:08.000Z',
    reason: 'a worker has no free place for copies: 2 of 2 in use (--max-copies)',
  };
  const beat = { step: 'waiting for a free worker place', waitingSince: placeWait.since };
  const { troubles } = new ProgressModel().view(
    sample(1, {
      progress: progress({ placeWait }),
      activities: [activity('copyChunks', beat, 3, placeWait.reason)],
    }),
  );
  expect(troubles).toEqual([
    `waiting for a free worker place since 2026-11-21 09:41:08 UTC: ${placeWait.reason}; Start another worker, or raise the named option of this one.`,
  ]);
});

test('retries and unreachable servers are shown', () => {
  const view = new ProgressModel().view(
    sample(0, {
      trouble: 'no worker answers',
      activities: [activity('copySchema', { step: 'tables', done: 3, total: 9 }, 3, 'Unreachable')],
    }),
  );
  expect(view.step).toBe('tables 3 of 9');
  expect(view.troubles).toEqual([
    'no worker answers',
    'copySchema is retried (attempt 3): Unreachable',
  ]);
});

test('nonsense in heartbeats and no answer at all are shown as nothing, not as NaN', () => {
  const odd = activity('copyChunks', { rows: 'many', bytes: NaN });
  const view = new ProgressModel().view(sample(0, { activities: [odd] }));
  expect(view.copy).toMatchObject({ rows: 0, bytes: 0, rowsPerSecond: 0 });
  const none = new ProgressModel().view(sample(0, { progress: undefined }));
  expect(none).toMatchObject({ phase: undefined, copy: undefined, stream: undefined });
});

test('right after a kill the position of the new attempt is shown, not zeros of an older checkpoint', () => {
  const asOf = '2026-11-21T09:00:00.000Z';
  const stream = { ...STREAMED, transactions: 0, changes: 0 };
  const early = progress({ phase: 'stream', stream, asOf });
  const begun = activity('streamChanges', { step: 'streamChanges' }, 2);
  const model = new ProgressModel();
  expect(model.view(sample(0, { progress: early, activities: [begun] })).stream).toBeUndefined();
  const stored = { step: 'starting', confirmedLsn: '0/20', transactions: 6, changes: 60 };
  const starting = activity('streamChanges', stored, 2);
  expect(model.view(sample(1, { progress: early, activities: [starting] }))).toMatchObject({
    confirmedLsn: '0/20',
    stream: { transactions: 6, changes: 60, age: 'as of 2026-11-21 09:41:07 UTC' },
  });
  // An idle stream reports that itself, and a paused one stays at its checkpoint.
  const idle = activity('streamChanges', { transactions: 0, changes: 0, lagBytes: 0 });
  const fresh = new ProgressModel();
  expect(fresh.view(sample(0, { progress: early, activities: [idle] })).stream).toMatchObject({
    ...{ transactions: 0, age: undefined },
  });
  const paused = progress({ phase: 'stream', state: 'paused', stream, asOf });
  expect(new ProgressModel().view(sample(0, { progress: paused })).stream).toMatchObject({
    transactions: 0,
  });
});

test('numbers are dated once two heartbeats are missing, and zeros of a dead attempt are not shown at all', () => {
  const streaming = progress({ phase: 'stream' });
  const beat = (transactions: number, heardAt: string): LiveActivity => ({
    ...activity('streamChanges', {
      transactions,
      changes: transactions,
      lagBytes: 9,
      lagSeconds: 26,
    }),
    heardAt,
  });
  const look = (model: ProgressModel, seconds: number, last: LiveActivity) =>
    model.view(sample(seconds, { progress: streaming, activities: [last] })).stream;
  const applied = new ProgressModel();
  const first = beat(7, '2026-11-21T09:41:07.000Z');
  expect(look(applied, 0, first)).toMatchObject({ transactions: 7, age: undefined });
  expect(look(applied, 4, first)).toMatchObject({ age: undefined });
  expect(look(applied, 5, first)).toMatchObject({
    ...{ transactions: 7, age: 'as of 2026-11-21 09:41:07 UTC' },
  });
  expect(look(applied, 6, beat(8, '2026-11-21T09:41:13.000Z'))).toMatchObject({
    ...{ transactions: 8, age: undefined },
  });
  // The worker applied the first transactions after this beat and died before the next one.
  const none = beat(0, '2026-11-21T09:41:07.000Z');
  const killed = new ProgressModel();
  expect(look(killed, 0, none)).toMatchObject({ transactions: 0, age: undefined });
  expect(look(killed, 5, none)).toBeUndefined();
  expect(look(new ProgressModel(), 0, { ...none, live: false })).toBeUndefined();
});
