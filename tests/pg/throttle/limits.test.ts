/** Limits and the guard against real servers: each takes effect, even in mid-chunk, can change while it runs, and loses no work. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import { MigrationError } from '../../../contract/failure.ts';
import { MEASURES, type GuardInput, type GuardReport } from '../../../contract/guard.ts';
import { UNLIMITED } from '../../../contract/limits.ts';
import { exchangeShare, readLimits } from '../../../postgres/store/throttle.ts';
import { measure } from '../../../postgres/guard/measure.ts';
import { ThrottledRun } from '../../../postgres/throttle/throttled-run.ts';
import { streamChanges } from '../../support/lease.ts';
import { holding, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { codes, findingsOf, loginOn, only } from '../../support/preflight.ts';
import { drain, expectSame, OPTIONS, startMigration, testWork } from '../../support/stream.ts';
import { copiedOnce, inTheMiddle, planned, running, set } from '../../support/throttled.ts';
import { until } from '../../support/until.ts';

test('all copy streams together keep to the bytes per second, beat while they wait, and continue at once when the limit is lifted', async () => {
  await using db = await freshPair();
  const { migration, plan: make } = await planned(db);
  await using _held = await holding(db, migration);
  const plan = await make();
  const rate = 50_000;
  await set(db, migration, 1, { copyBytesPerSecond: rate });
  const began = performance.now();
  const copy = running(migration, plan);
  await until('some seconds of it', () => performance.now() - began > 4_000 && copy.bytes() > 0);
  // What a socket delivers at once is not split: some 64 kB per stream.
  const allowed = ((performance.now() - began) / 1000) * rate + plan.runs.length * 65_536;
  expect(copy.bytes()).toBeLessThan(2 * allowed);
  await until('every stream to wait', () => copy.waiting(/limit of 50000 bytes\/s/) > 0);
  const beats = copy.works.map((work) => work.beats.length);
  await until('more beats', () =>
    copy.works.some(({ beats: now }, i) => now.length > (beats[i] ?? 0) + 2),
  );
  // At that rate it would take a minute.
  await set(db, migration, 2, {});
  await copiedOnce(db, plan, await copy.ended);
});

test('under a limit of bytes, streams that always have data take turns: none reads twice before each of the others has read once', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await set(db, migration, 1, { copyBytesPerSecond: 400_000 });
  const joining = { work: recordedWork(), held: () => undefined };
  const join = () => ThrottledRun.join(migration, 1, db.targetClient, joining);
  // All of them before the first one reads.
  const runs = [await join(), await join(), await join(), await join()];
  const turns: number[] = [];
  try {
    // Like a socket that is never empty: more data follows at once.
    await Promise.all(
      runs.map(async (run, i) => {
        // The first is in its chunk, and the others have to enter theirs in parallel.
        if (i > 0) await run.ready();
        while (turns.length < 41) {
          turns.push(i);
          // More than can be saved up, so that the others have to wait before they start.
          await run.passed(turns.length === 1 ? 300_000 : 10_000);
        }
      }),
    );
  } finally {
    for (const run of runs) await run[Symbol.asyncDispose]();
  }
  for (let i = 1; i + runs.length <= turns.length; i += runs.length) {
    const round = turns.slice(i, i + runs.length);
    expect(new Set(round).size, `turns ${turns.join('')}`).toBe(runs.length);
  }
});

test('fewer copy streams hold running ones in the middle of a chunk and more let them continue: nothing is copied twice', async () => {
  await using db = await freshPair();
  const { migration, plan: make } = await planned(db);
  await using _held = await holding(db, migration);
  const plan = await make();
  const slow = { copyBytesPerSecond: 20_000 };
  await set(db, migration, 1, slow);
  const copy = running(migration, plan);
  const runs = plan.runs.length;
  await inTheMiddle(copy);
  await set(db, migration, 2, { ...slow, copyStreams: 1 });
  await until('all but one to be held', () => copy.waiting(/limit of 1 copy streams/) === runs - 1);
  await set(db, migration, 3, { ...slow, copyStreams: 2 });
  await until('one more to continue', () => copy.waiting(/limit of 2 copy streams/) === runs - 2);
  // The last streams get their turn when the first have ended, without another change.
  await set(db, migration, 4, { copyStreams: 1 });
  await copiedOnce(db, plan, await copy.ended);
});

test('a raised limit takes effect within a few seconds, whatever is owed under the old one', async () => {
  await using db = await freshPair();
  const { migration, plan: make } = await planned(db);
  await using _held = await holding(db, migration);
  const plan = await make();
  // At this rate it takes a day to pay for what a socket delivers at once.
  await set(db, migration, 1, { copyBytesPerSecond: 1 });
  const copy = running(migration, plan);
  await until('every stream to wait', () => copy.waiting(/bytes\/s/) === plan.runs.length);
  const secondsUntilMore = async (): Promise<number> => {
    const [began, before] = [performance.now(), copy.bytes()];
    await until('more bytes', () => copy.bytes() > before, { everyMilliseconds: 10 });
    return (performance.now() - began) / 1000;
  };
  await set(db, migration, 2, { copyBytesPerSecond: 200_000 });
  expect(await secondsUntilMore()).toBeLessThan(4);
  await set(db, migration, 3, { copyBytesPerSecond: 200_000, copyStreams: 1 });
  await until('streams to be held', () => copy.waiting(/copy streams/) === plan.runs.length - 1);
  const began = performance.now();
  await set(db, migration, 4, { copyBytesPerSecond: 200_000 });
  await until('no stream to be held', () => copy.waiting(/copy streams/) === 0);
  expect((performance.now() - began) / 1000).toBeLessThan(4);
  await set(db, migration, 5, {});
  await copiedOnce(db, plan, await copy.ended);
});

test('a stream that is held longer than a moment lends its slot, takes it back at once inside a chunk, and in turn before the next chunk', async () => {
  await using db = await freshPair();
  const { migration, plan: make } = await planned(db);
  await using _held = await holding(db, migration);
  const plan = await make();
  const slow = { copyBytesPerSecond: 20_000 };
  await set(db, migration, 1, { ...slow, copyStreams: 1 });
  const copy = running(migration, plan);
  const lending = () => copy.places.filter((seen) => seen.at(-1) === 'lend').length;
  const runs = plan.runs.length;
  await until('all but one to lend', () => copy.waiting(/streams/) === runs - 1 && lending() > 1);
  await set(db, migration, 2, slow);
  await inTheMiddle(copy);
  await set(db, migration, 3, { copyBytesPerSecond: 1 });
  await until('every stream to lend', () => lending() === runs);
  await set(db, migration, 4, {});
  await copiedOnce(db, plan, await copy.ended);
  // A stream that was held before its first chunk, with nothing open.
  expect(copy.places.filter((seen) => seen[1] === 'in turn').length).toBeGreaterThan(1);
  for (const seen of copy.places) {
    expect(seen.at(-1)).toBe('at once');
    expect(seen.every((one, i) => (one === 'lend') === (i % 2 === 0))).toBe(true);
  }
});

test('a run that restarts after its worker died keeps to the limits from its first byte', async () => {
  await using db = await freshPair();
  const { migration, plan: make } = await planned(db);
  await using _held = await holding(db, migration);
  const plan = await make();
  await set(db, migration, 1, { copyBytesPerSecond: 1 });
  const first = running(migration, plan);
  await until('a stream to wait', () => first.waiting(/bytes\/s/) > 0);
  for (const work of first.works) work.abort();
  await expect(first.ended).rejects.toThrow('stopped by the test');
  const second = running(migration, plan);
  await until('a stream to wait again', () => second.waiting(/bytes\/s/) > 0);
  await set(db, migration, 2, {});
  // A late write changes nothing.
  await set(db, migration, 1, { copyBytesPerSecond: 1 });
  expect(await readLimits(db.targetClient, migration)).toEqual(UNLIMITED);
  await second.ended;
  await expectEqual(db.sourceClient, db.targetClient);
});

test('processes share the limits by the number of streams that each has; one that is gone does not count', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const exchange = (worker: string, streams: number) =>
    exchangeShare(db.targetClient, migration, { worker, streams, pass: 1 });
  expect(await exchange('b', 2)).toMatchObject({ before: 0, after: 0 });
  expect(await exchange('a', 3)).toMatchObject({ before: 2, after: 0 });
  expect(await exchange('b', 2)).toMatchObject({ before: 0, after: 3 });
  // Long ago, or after a clock was set back.
  for (const since of ['-1 minute', '1 hour']) {
    await db.targetClient.query(
      `update walferry.copier set seen = clock_timestamp() + $1 where worker = 'b'`,
      [since],
    );
    expect(await exchange('a', 3)).toMatchObject({ before: 0, after: 0 });
  }
});

test('the guard holds the copy above its ceiling and when it cannot measure, releases it automatically, logs both with the measured values, and can be switched off', async () => {
  await using db = await freshPair();
  const { migration, plan: make } = await planned(db);
  await db.sourceClient.query(
    'create schema ops; create table ops.load (v int); insert into ops.load values (1)',
  );
  const reports: GuardReport[] = [];
  const guard: GuardInput = { query: { sql: 'select max(v) from ops.load', ceiling: 10 } };
  await using held = await holding(db, migration, guard, (report) => void reports.push(report));
  const plan = await make();
  const slow = { copyBytesPerSecond: 10_000 };
  await set(db, migration, 1, slow);
  const copy = running(migration, plan);
  const all = plan.runs.length;
  const saying = async (expected: Partial<GuardReport>) => {
    await until(`the guard to say ${JSON.stringify(expected)}`, () => {
      const last = reports.at(-1);
      return (
        last !== undefined &&
        Object.entries(expected).every(([name, value]) => Reflect.get(last, name) === value)
      );
    });
  };
  await saying({ holding: false, value: 1 });
  await inTheMiddle(copy);
  await db.sourceClient.query('update ops.load set v = 100');
  await saying({ holding: true, measure: 'query', value: 100, ceiling: 10 });
  await until(
    'all streams to be held',
    () => copy.waiting(/guard of the source: query 100, ceiling 10/) === all,
  );
  const bytes = copy.bytes();
  const beats = copy.works.map((work) => work.beats.length);
  await until('beats of held streams', () =>
    copy.works.every(({ beats: now }, i) => now.length > (beats[i] ?? 0) + 2),
  );
  expect(copy.bytes()).toBe(bytes);
  await db.sourceClient.query('update ops.load set v = 1');
  await saying({ holding: false, value: 1 });
  await db.sourceClient.query('drop table ops.load');
  await saying({ holding: true, value: null });
  const failing = { code: 'Internal', sqlstate: '42P01' };
  expect(reports.at(-1)?.failing).toEqual(failing);
  const measured = { measure: 'query', ceiling: 10 };
  const holds = { level: 'warn', message: 'the guard of the source holds the copy' };
  const goesOn = { level: 'info', message: 'the guard of the source lets the copy continue' };
  // One line for each change, none while it lasts.
  expect(held.logged.filter(({ message }) => message.includes('guard'))).toEqual([
    { ...holds, fields: { ...measured, value: 100 } },
    { ...goesOn, fields: { ...measured, value: 1 } },
    { ...holds, fields: { ...measured, value: null, ...failing } },
  ]);
  await set(db, migration, 2, { guard: 'off' });
  // The third release: the guard no longer measures anything.
  await until('the guard to be off', () => reports.filter((one) => !one.holding).length === 3);
  await copy.ended;
});

test('a limit of changes per second slows the apply, which beats and reports its lag; lifting the limit, a pause and a drain do not wait', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, 'create table t (id int primary key)');
  const count = async () =>
    Number((await db.targetClient.query<{ n: string }>('select count(*) as n from t')).rows[0]?.n);
  const rate = 20;
  await set(db, migration, 1, { applyChangesPerSecond: rate });
  await db.sourceClient.query(
    `do $$ begin for i in 1..1000 loop insert into t values (i); commit; end loop; end $$`,
  );
  const work = testWork();
  const lease = streamChanges(migration, OPTIONS, work);
  await until('the first rows', async () => (await count()) > 0);
  const began = performance.now();
  const before = await count();
  await until('some seconds of it', () => performance.now() - began > 3_000);
  const applied = (await count()) - before;
  expect(applied).toBeLessThan(2 * rate * ((performance.now() - began) / 1000) + rate);
  expect(work.beats.at(-1)).toMatchObject({ changesPerSecondLimit: rate });
  expect(Number(work.beats.at(-1)?.['lagBytes'])).toBeGreaterThan(0);
  const beats = work.beats.length;
  await until('beats while it waits', () => work.beats.length > beats + 1);
  const slowly = await count();
  await set(db, migration, 2, { applyChangesPerSecond: 0 });
  // At the old limit it would take more than twice as long.
  await until('many more', async () => (await count()) > slowly + 10 * rate, { seconds: 4 });
  await until('all rows', async () => (await count()) === 1000);
  // One large transaction: what it owes at this rate takes days.
  await set(db, migration, 3, { applyChangesPerSecond: 1 });
  await until('the new limit', async () => {
    const { rows } = await db.sourceClient.query<{ id: number }>(
      'insert into t select max(id) + 1 from t returning id',
    );
    expect(rows).toHaveLength(1);
    return work.beats.at(-1)?.['changesPerSecondLimit'] === 1;
  });
  await db.sourceClient.query('insert into t select i from generate_series(10001, 14000) i');
  await db.sourceClient.query('insert into t values (20001)');
  await until('a wait', () => work.beats.at(-1)?.['limited'] === true);
  work.abort();
  await lease;
  await drain(db, migration);
  await expectSame(db);
});

test('preflight measures the guard once, and refuses a query that returns no single number and a role that cannot see what it measures', async () => {
  await using db = await freshPair();
  await db.sourceClient.query('create table n (v int)');
  const fails = async (sql: string) => {
    const guard: GuardInput = { query: { sql, ceiling: 1 } };
    const failed = await measure(db.sourceClient, guard).catch((error: unknown) => error);
    if (!(failed instanceof MigrationError)) throw new Error(`${sql} was measured`);
    expect(failed.details.object).toBe('query');
    return failed.details.sqlstate ?? failed.message;
  };
  expect(await fails('select max(v) from public.n')).toContain('returned null');
  for (const sql of [
    ...["select 'a'", "select 'NaN'::float8", 'select 1, 2', 'select 1 where false'],
    'select generate_series(1, 100000000)',
  ]) {
    expect(await fails(sql), sql).toContain('did not return one number (one row, one column)');
  }
  expect(await fails('select nope')).toBe('42703');
  // One SELECT and nothing else: neither a second statement nor a write.
  expect(await fails('select 1; drop table public.n')).toBe('42601');
  expect(await fails('select 1; commit')).toBe('42601');
  expect(await fails("select nextval('public.s')")).toBe('42P01');
  await db.sourceClient.query('create sequence public.s');
  expect(await fails("select nextval('public.s')")).toBe('25006');
  const measured = await measure(db.sourceClient, {
    ...{ activeSessions: 5, replicaLagBytes: 5, replicaLagSeconds: 5 },
    query: { sql: 'select 1.5 -- with a comment', ceiling: 1 },
  });
  expect(measured.map(({ measure: name }) => name)).toEqual([...MEASURES]);
  expect(measured.at(-1)).toEqual({ measure: 'query', ceiling: 1, value: 1.5 });

  await using login = await loginOn(db, 'source', 'replication');
  const input = { guard: { activeSessions: 1000, query: { sql: 'select nope', ceiling: 1 } } };
  const found = await findingsOf(db, { source: login.service, input });
  expect(only(found, 'guard-hidden').action).toContain(`grant pg_read_all_stats to ${login.role};`);
  expect(only(found, 'guard').message).toContain(
    'measuring query for the guard (on the source): failed (SQLSTATE 42703)',
  );
  await db.sourceClient.query(`grant pg_read_all_stats to ${login.role}`);
  expect(codes(await findingsOf(db, { source: login.service, input }))).not.toContain(
    'guard-hidden',
  );
});

test('active sessions are those of others that execute something in any database; ours do not count', async () => {
  await using db = await freshPair();
  const guard: GuardInput = { activeSessions: 1 };
  const active = async () => (await measure(db.sourceClient, guard))[0]?.value ?? 0;
  await using busy = await connectTo(db.source);
  await using ours = await connectTo(db.source);
  await ours.query(`set application_name = 'walferry copy'`);
  const pid = async (client: pg.Client) =>
    (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
  const pids = [await pid(busy), await pid(ours)];
  const state = `select count(*) filter (where pid <> all ($1))::int as others, count(*) filter (where pid = any ($1))::int as both
    from pg_stat_activity where state = 'active' and backend_type = 'client backend'
     and (application_name !~ '^walferry ' or pid = any ($1)) and pid <> pg_backend_pid()`;
  const sleeping = [busy, ours].map((client) =>
    client.query('select pg_sleep(300)').catch(() => undefined),
  );
  await until('both to sleep, and one of them to count', async () => {
    // Other tests are busy on the same server, and one transaction gives the same answer to both queries.
    await db.sourceClient.query('begin');
    const { rows } = await db.sourceClient.query<{ others: number; both: number }>(state, [pids]);
    const now = await active();
    await db.sourceClient.query('commit');
    const [row] = rows;
    if (row?.both !== 2) return false;
    expect(now).toBe(row.others + 1);
    return true;
  });
  await db.sourceClient.query('select pg_cancel_backend(pid) from unnest($1::int[]) pid', [pids]);
  await Promise.all(sleeping);
});
