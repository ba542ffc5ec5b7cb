/**
 * The stream under faults: connections cut at random points, processes killed at the points that chance rarely hits, a stopped
 * process that was overtaken. Each test ends with an exact comparison.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, test } from 'vitest';
import { compareLsn } from '../../../contract/lsn.ts';
import { MigrationError } from '../../../contract/failure.ts';
import { streamChanges } from '../../support/lease.ts';
import { freshPair, sourceServer, type FreshPair } from '../../support/database.ts';
import { Load, LOAD_TABLES, random } from '../../support/load.ts';
import { observed } from '../../support/observed.ts';
import { streamProcess } from '../../support/stream-child.ts';
import {
  drain,
  endMark,
  expectSame,
  OPTIONS,
  slotState,
  untilStreaming,
  startMigration,
  storedLsn,
  testWork,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLE = /* sql */ `create table t (id bigint primary key, n int); insert into t values (1, 0)`;

async function load(db: FreshPair): Promise<Load> {
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(sourceServer().connection(db.source));
    await client.connect();
    return client;
  };
  return Promise.resolve(new Load(connect, 3));
}

/** Sequences are not in the stream; the cutover sets them. */
async function copySequences(db: FreshPair): Promise<void> {
  const { rows } = await db.sourceClient.query<{ name: string; last: string }>(
    /* sql */ `select format('%I.%I', schemaname, sequencename) as name, last_value::text as last from pg_sequences`,
  );
  for (const { name, last } of rows) {
    await db.targetClient.query(/* sql */ `select setval($1::regclass, $2)`, [name, last]);
  }
}

/** Ends one of the stream's sessions, whichever exists. */
async function cut(db: FreshPair, rnd: () => number): Promise<void> {
  const victims = [
    [db.sourceClient, `backend_type = 'walsender'`],
    [db.sourceClient, `application_name = 'walferry stream' and backend_type = 'client backend'`],
    [db.targetClient, `application_name = 'walferry apply'`],
  ] as const;
  const [client, which] = victims[Math.floor(rnd() * victims.length)] ?? victims[0];
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and ${which}`,
  );
}

test(
  'connections cut at random points lose nothing and repeat nothing',
  { timeout: 240_000 },
  async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, LOAD_TABLES);
    const writer = await load(db);
    const rnd = random(writer.seed);
    const seen = new Map<string, number>();
    let floor = await storedLsn(db, migration);
    const deadline = Date.now() + 30_000;
    while ((seen.get('Unreachable') ?? 0) < 8 && Date.now() < deadline) {
      const lease = streamChanges(
        migration,
        { ...OPTIONS, floor, leaseMs: 1_500, batchChanges: 20 + Math.floor(rnd() * 500) },
        testWork(),
      );
      const outcome = lease.then(
        () => 'returned',
        (error: unknown) => (error instanceof MigrationError ? error.code : String(error)),
      );
      await sleep(rnd() * 700);
      await cut(db, rnd);
      const result = await outcome;
      seen.set(result, (seen.get(result) ?? 0) + 1);
      const stored = await storedLsn(db, migration);
      expect(compareLsn(stored, floor)).toBeGreaterThanOrEqual(0);
      expect(compareLsn((await slotState(db, migration)).confirmed, stored)).toBeLessThanOrEqual(0);
      floor = stored;
    }
    await writer.stop();
    const report = await drain(db, migration, { floor, batchChanges: 5_000 });
    process.stdout.write(
      `${writer.committed} transactions, leases ended: ${JSON.stringify([...seen])}\n`,
    );
    await copySequences(db);
    await expectSame(db);
    expect(seen.get('Unreachable') ?? 0).toBeGreaterThan(3);
    for (const outcome of seen.keys()) expect(['Unreachable', 'returned']).toContain(outcome);
    // Counted in the same transaction as the rows: never twice (transactions without a change do not count).
    expect(report.transactions).toBeGreaterThan(0);
    expect(report.transactions).toBeLessThanOrEqual(writer.committed + 3);
  },
);

test('killed between commit on the target and confirmation, the source gets no confirmation and nothing is applied twice', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const before = await slotState(db, migration);
  await db.sourceClient.query(/* sql */ `update t set n = n + 1; insert into t values (2, 0)`);
  const child = streamProcess(migration, {
    WALFERRY_FAILPOINT: 'after-target-commit-before-confirm',
  });
  await child.ended;
  expect(child.process.signalCode).toBe('SIGKILL');
  const stored = await storedLsn(db, migration);
  expect((await slotState(db, migration)).confirmed).toBe(before.confirmed);
  expect(compareLsn(stored, before.confirmed)).toBeGreaterThan(0);
  const report = await drain(db, migration, { floor: stored });
  expect(report).toMatchObject({ transactions: 1, changes: 2 });
  await expectSame(db);
});

test('killed before the commit on the target, neither rows nor position are there, and the next attempt applies both', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const before = await storedLsn(db, migration);
  await db.sourceClient.query(/* sql */ `update t set n = n + 1`);
  const child = streamProcess(migration, { WALFERRY_FAILPOINT: 'before-target-commit' });
  await child.ended;
  expect(child.process.signalCode).toBe('SIGKILL');
  expect(await storedLsn(db, migration)).toBe(before);
  expect(await drain(db, migration)).toMatchObject({ transactions: 1, changes: 1 });
  await expectSame(db);
});

test.each(['rows-sent', 'commit-sent'])(
  'killed while an answer of the target is on its way (%s), rows and position are either both there or both missing',
  async (point) => {
    await using db = await freshPair();
    const migration = await startMigration(db, TABLE);
    const before = await storedLsn(db, migration);
    await db.sourceClient.query(/* sql */ `update t set n = n + 1; insert into t values (2, 0)`);
    const child = streamProcess(migration, { WALFERRY_FAILPOINT: point });
    await child.ended;
    expect(child.process.signalCode).toBe('SIGKILL');
    const ended = /* sql */ `select from pg_stat_activity where application_name = 'walferry apply' and datname = current_database()`;
    await until(
      'the session to end',
      async () => (await db.targetClient.query(ended)).rowCount === 0,
    );
    const { rowCount } = await db.targetClient.query(/* sql */ `select from t where n = 1`);
    expect(rowCount === 1).toBe((await storedLsn(db, migration)) !== before);
    await drain(db, migration);
    await expectSame(db);
  },
);

test('an attempt that was stopped, overtaken and continued writes nothing', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const child = streamProcess(migration);
  await until('the first attempt', () => child.lines.includes('started'));
  await db.sourceClient.query(/* sql */ `update t set n = n + 1`);
  await until('its first commit', async () => {
    const { rows } = await db.targetClient.query<{ n: number }>(/* sql */ `select n from t`);
    return rows[0]?.n === 1;
  });
  child.process.kill('SIGSTOP');
  await db.sourceClient.query(/* sql */ `update t set n = n + 1`);
  const report = await drain(db, migration);
  expect(report).toMatchObject({ transactions: 2, changes: 2 });
  child.process.kill('SIGCONT');
  await child.ended;
  expect(child.lines.at(-1)).toMatch(/^(Unreachable|Fenced)$/);
  expect(await storedLsn(db, migration)).toBe(report.confirmedLsn);
  await expectSame(db);
});

test('a huge transaction that is cut in the middle leaves no part of it', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(
    /* sql */ `insert into t select i, 0 from generate_series(2, 60000) i`,
  );
  const end = await endMark(db);
  const streaming = observed(streamChanges(migration, { ...OPTIONS, until: end }, testWork()));
  await until(
    'the middle',
    async () => {
      // Rows of an open transaction are invisible, but its staging is not: the apply session is in a transaction for long.
      const { rowCount } = await db.targetClient
        .query(/* sql */ `select from pg_stat_activity where application_name = 'walferry apply'
                  and datname = current_database() and xact_start < clock_timestamp() - interval '200 ms'`);
      return (rowCount ?? 0) > 0;
    },
    { everyMilliseconds: 5 },
  );
  await db.targetClient.query(
    /* sql */ `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'walferry apply' and datname = current_database()`,
  );
  await expect(streaming).rejects.toMatchObject({ code: 'Unreachable' });
  const { rows } = await db.targetClient.query<{ n: string }>(
    /* sql */ `select count(*) as n from t`,
  );
  expect(rows[0]?.n).toBe('1');
  await drain(db, migration);
  await expectSame(db);
});

test('while the target works long on one statement the stream sends heartbeats, and does not count as stuck', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const work = testWork();
  const limits = { stuckMs: 3_000 };
  const lease = streamChanges(migration, { ...OPTIONS, limits }, work);
  lease.catch(() => undefined);
  await untilStreaming(db, migration);
  await db.targetClient.query(/* sql */ `begin; lock table t in access exclusive mode`);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 0)`);
  await until('the wait', async () => {
    const { rowCount } = await db.targetClient.query(
      /* sql */ `select from pg_locks where not granted`,
    );
    return (rowCount ?? 0) > 0;
  });
  const beats = work.beats.length;
  const since = performance.now();
  await until('longer than an answer may be awaited', () => performance.now() > since + 4_500);
  expect(work.beats.length).toBeGreaterThan(beats + 1);
  expect(work.beats.at(-1)).toMatchObject({ phase: 'stream', changes: 0 });
  await db.targetClient.query('commit');
  await until('the row', async () => {
    const { rowCount } = await db.targetClient.query(/* sql */ `select from t where id = 2`);
    return rowCount === 1;
  });
  work.abort();
  expect((await lease).changes).toBe(1);
});
