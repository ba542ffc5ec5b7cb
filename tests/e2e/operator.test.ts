/** What an operator does: pause, resume, abort, cancel, cut over too early, and mistakes in the input. */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { ProgressModel } from '../../scripts/watch/model.ts';
import { connectTo } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { testRun } from '../support/run.ts';
import { temporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';

test('pause stops at a commit and answers with its LSN; resume continues; both may be repeated', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  await lab.worker();
  const load = lab.load();
  await lab.start();
  await lab.phase('stream');
  const paused = await lab.update('pause');
  expect(paused.code, paused.stderr).toBe(0);
  const { state, confirmedLsn } = await lab.progress();
  expect(state).toBe('paused');
  expect(paused.stdout).toContain(String(confirmedLsn));
  // The check before workers are updated under it.
  const replay = spawnSync('npm', ['run', '--silent', 'replay', '--', lab.id], {
    encoding: 'utf8',
  });
  expect(replay, replay.stderr).toMatchObject({ status: 0 });
  expect(replay.stdout).toMatch(/^fits: .* \(\d+ events replayed\)/);
  const committed = load.committed;
  await until('more load', () => load.committed > committed + 100);
  const [row] = await lab.onTarget<{ lsn: string }>(
    /* sql */ `select confirmed_lsn::text as lsn from walferry.migration`,
  );
  expect(row?.lsn).toBe(confirmedLsn);
  expect((await lab.update('pause')).stdout).toContain(String(confirmedLsn));
  expect((await lab.update('resume')).code).toBe(0);
  expect((await lab.update('resume')).code).toBe(0);
  await until('the checkpoint to move', async () => {
    const [now] = await lab.onTarget<{ lsn: string }>(
      /* sql */ `select confirmed_lsn::text as lsn from walferry.migration`,
    );
    return now?.lsn !== confirmedLsn;
  });
  await lab.finish();
});

test('cutover while the writers still write fails with the tables named, keeps the slot and continues streaming', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  await lab.worker();
  lab.load();
  await lab.start();
  await lab.phase('stream');
  const answer = await lab.update('cutover');
  expect(answer.code).not.toBe(0);
  expect(answer.stdout + answer.stderr).toMatch(/public\.(item|note|pair)/);
  const slots = await lab.onSource(
    /* sql */ `select 1 from pg_replication_slots where database = current_database()`,
  );
  expect(slots).toHaveLength(1);
  await lab.phase('stream');
  await lab.finish();
});

test('abort reports what stays, drops slot and control schema, and ends the workflow Failed with type Aborted', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  await lab.worker();
  await lab.start();
  await lab.phase('stream');
  const answer = await lab.update('abort');
  expect(answer.code, answer.stderr).toBe(0);
  expect(answer.stdout).toMatch(/table/i);
  const ending = await lab.ending();
  expect(ending.status).toBe('FAILED');
  expect(ending.text).toContain('Aborted');
  await lab.expectNothingLeft();
  // No one wrote since the copy: all rows stay. Sequences are set only at the cutover.
  await lab.expectContained();
  for (const table of ['item', 'note', 'pair']) {
    const count = /* sql */ `select count(*)::int as n from ${table}`;
    expect(await lab.onTarget(count), table).toEqual(await lab.onSource(count));
  }
});

test('cancelling the workflow in the middle of the copy also cleans up', async () => {
  await using lab = await Lab.open(`${LOAD_TABLES}
    create table big (id bigint primary key, filler text not null);
    insert into big select i, repeat(md5(i::text), 3) from generate_series(1, 300000) i;`);
  await lab.worker();
  await lab.start({ copy: { parallelism: 1, chunkMegabytes: 1 } });
  await until(
    'the copy to begin',
    async () =>
      (await lab.onTarget(/* sql */ `select 1 from walferry.chunk where done_at is not null`))
        .length > 0,
    { everyMilliseconds: 5, seconds: 60 },
  );
  await temporal('workflow', 'cancel', '-w', lab.id);
  expect((await lab.ending()).status).toBe('CANCELLED');
  await lab.expectNothingLeft();
  await lab.expectContained();
});

test('updates in the wrong phase are refused with a reason and change nothing', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  await lab.worker();
  // An open transaction holds the slot back: the migration stays before its stream.
  await using blocker = await connectTo(lab.pair.source);
  await blocker.query('begin');
  await blocker.query('select pg_current_xact_id()');
  await lab.start();
  await until('the slot to wait', async () => (await lab.progress()).phase !== 'preflight');
  for (const name of ['cutover', 'resume']) {
    const answer = await lab.update(name);
    expect(answer.code, name).not.toBe(0);
    expect(answer.stdout + answer.stderr).toMatch(/phase|resume/);
  }
  await blocker.query('rollback');
  await lab.phase('stream');
  await lab.finish();
  const late = await lab.update('pause');
  expect(late.code).not.toBe(0);
});

/** The number that the guard reads is in a table that is also copied. */
const GUARDED = /* sql */ `
  create table big (id int primary key, filler text);
  insert into big select i, repeat(md5(i::text), 8) from generate_series(1, 12000) i;
  create table queue (length int primary key);
  insert into queue values (1);`;

test('a guard holds the copy, and progress, Current Details, watch and log report it; the copy continues automatically when the number falls, and limits follow setLimits in copy and stream', async () => {
  await using lab = await Lab.open(GUARDED);
  const worker = await lab.worker();
  const query = { sql: 'select max(length) from public.queue', ceiling: 10 };
  const limits = { copyBytesPerSecond: 20_000 };
  await lab.start({ copy: { parallelism: 2, chunkMegabytes: 1 }, guard: { query }, limits });
  const setLimits = async (change: object) => {
    const { code, stdout, stderr } = await lab.update('setLimits', change);
    return { done: code === 0, said: stdout + stderr };
  };
  const beats = async (type: string) =>
    (await lab.look()).activities.filter((one) => one.type === type && one.live);
  /** Whether every copy stream waits for this, and there is at least one. */
  const streamsWait = async (why: string) => {
    const streams = await beats('copyChunks');
    return (
      streams.length > 0 && streams.every(({ heartbeat: { waitingFor } }) => waitingFor === why)
    );
  };
  await until('the guard to measure', async () => (await lab.progress()).guard?.value === 1);

  const refused = await setLimits({ copyBytesPerSecond: 50_000, copyStreams: -1 });
  expect(refused).toMatchObject({ done: false });
  expect(refused.said).toContain('"copyStreams" must be a whole number from 0 to 32');
  expect((await lab.progress()).limits).toMatchObject(limits);
  expect(await setLimits({ copyBytesPerSecond: 50_000 })).toMatchObject({ done: true });
  await until('the raised limit', () => streamsWait('the limit of 50000 bytes/s'));

  await lab.onSource(`update queue set length = 63`);
  const { guard } = await until('the guard to hold', async () => {
    const progress = await lab.progress();
    return progress.guard?.holding === true && progress;
  });
  expect(guard).toMatchObject({ measure: 'query', value: 63, ceiling: 10 });
  // Nothing else holds it, and a copy of so few bytes would end at once.
  expect((await setLimits({ copyBytesPerSecond: 0 })).said).toContain('Limits: none. In force');
  await until('the streams to wait', () =>
    streamsWait('the guard of the source: query 63, ceiling 10'),
  );
  const seen = await lab.look();
  expect(new ProgressModel().view(seen).throttle).toBe('held by the guard: query 63, ceiling 10');
  const details = await lab.details();
  expect(details).toMatch(/^## Snapshot: copying rows \(held by the guard\)\n/);
  expect(details).toMatch(
    /- guard: query 63, ceiling 10: \*\*the copy has been waiting\*\* since \d{4}-/,
  );
  const logged = (value: number, what: string) =>
    `"measure":"query","value":${value},"ceiling":10,"msg":"the guard of the source ${what}"`;
  expect(worker.log()).toContain(logged(63, 'holds the copy'));
  expect(worker.log()).not.toContain('lets the copy continue');
  expect((await lab.progress()).phase).toBe('snapshot');

  await lab.onSource(`update queue set length = 2`);
  expect((await lab.phase('stream')).guard).toBeUndefined();
  expect(worker.log()).toContain(logged(2, 'lets the copy continue'));

  expect(await setLimits({ applyChangesPerSecond: 20 })).toMatchObject({ done: true });
  const streams = async (rate: number | undefined) =>
    (await beats('streamChanges'))[0]?.heartbeat['changesPerSecondLimit'] === rate;
  // It reads the limit with a batch, once a second at most: all rows at once could be applied before that.
  await until('the limit of the stream', async () => {
    await lab.onSource(`insert into big select max(id) + 1 from big`);
    return streams(20);
  });
  await lab.onSource(
    `do $$ begin for i in 1..3000 loop insert into big values (100000 + i); commit; end loop; end $$`,
  );
  await setLimits({ applyChangesPerSecond: 50 });
  await until('the raised limit of the stream', () => streams(50));
  expect(await setLimits({ applyChangesPerSecond: -1 })).toMatchObject({ done: false });
  const left = async () =>
    3000 - (await lab.onTarget(`select 1 from big where id > 100000`)).length;
  // At that limit it would take half a minute.
  expect(await left()).toBeGreaterThan(1500);
  expect((await setLimits({ applyChangesPerSecond: 0 })).said).toContain('Limits: none. In force');
  await until('all changes', async () => (await left()) === 0, { seconds: 15 });
  await lab.finish();
});

test.each([
  [{ source: 'x' }, '"target" is missing'],
  [
    { source: 'x', target: 'y', copy: { parallelism: 0 } },
    '"copy.parallelism" must be a whole number from 1 to 32',
  ],
  [{ source: 'postgres://u:MARKER@h/d', target: 'y' }, 'never a URI'],
  [{ source: 'x', target: 'y', password: 'MARKER' }, 'PGPASSFILE'],
])(
  'a wrong input fails the workflow at once with one clear message: %j',
  async (input, expected) => {
    await using lab = await Lab.open('select 1');
    await lab.worker();
    await lab.startRaw(input);
    const ending = await lab.ending();
    expect(ending.status).toBe('FAILED');
    expect(ending.text.replaceAll('\\"', '"')).toContain(expected);
    if (!JSON.stringify(input).includes('MARKER')) return;
    const failure = ending.text.slice(ending.text.indexOf('"failure"'));
    expect(failure).not.toContain('MARKER');
  },
);

test('a service that the worker does not know is named, with the file where it looked', async () => {
  await using lab = await Lab.open('select 1');
  await lab.worker();
  await lab.startRaw({ source: 'no_such_service', target: lab.pair.target });
  const ending = await lab.ending();
  expect(ending.status).toBe('FAILED');
  expect(ending.text).toContain('no_such_service');
  expect(ending.text).toContain(testRun().serviceFile);
});
