/** The lag of a replica as the guard measures it: a standby that stops replaying or answering, next to consumers that are no replicas. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GuardInput, GuardReport } from '../../../contract/guard.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';
import type { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { measure } from '../../../postgres/guard/measure.ts';
import { readGuard } from '../../../postgres/preflight/facts/measured-guard.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { holding, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { streamChanges } from '../../support/lease.ts';
import { testRun } from '../../support/run.ts';
import { standbyOf } from '../../support/standby.ts';
import { OPTIONS, startMigration, testWork } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';

const BOTH: GuardInput = { replicaLagBytes: 1, replicaLagSeconds: 1 };
const TABLE = /* sql */ `create table t (id serial primary key, filler text)`;
/** About 200 kB of WAL. */
const ROWS = /* sql */ `insert into t (filler) select repeat(md5(i::text), 30) from generate_series(1, 200) i`;
const MUCH = 100_000;

let source: PostgresServer & AsyncDisposable;
let standby: PostgresServer & AsyncDisposable;

beforeAll(async () => {
  source = await serverOf('source', { folder: testRun().source.programs, version: 'replicated' });
  // The standby replies when it has to, and never because time has passed.
  standby = await standbyOf(source, { wal_receiver_status_interval: '60s' });
});
afterAll(async () => {
  await standby[Symbol.asyncDispose]();
  await source[Symbol.asyncDispose]();
});

async function lagOf(db: FreshPair): Promise<{ bytes: number; seconds: number }> {
  const measured = await measure(db.sourceClient, BOTH);
  const [bytes = NaN, seconds = NaN] = measured.map(({ value }) => value);
  return { bytes, seconds };
}

/** Nothing is left to replay. */
async function caughtUp(db: FreshPair): Promise<void> {
  await until('the standby', async () => (await lagOf(db)).bytes === 0, { seconds: 20 });
}

async function onStandby(sql: string): Promise<string> {
  return await standby.query('postgres', async (client) => {
    const { rows } = await client.query<{ value: string }>(sql);
    return rows[0]?.value ?? '';
  });
}

interface Held {
  release(): Promise<void>;
}

async function pauseReplay(): Promise<Held> {
  await onStandby(/* sql */ `select pg_wal_replay_pause()::text as value`);
  await until(
    'replay to pause',
    async () =>
      (await onStandby(/* sql */ `select pg_get_wal_replay_pause_state() as value`)) === 'paused',
  );
  return { release: async () => void (await onStandby(`select pg_wal_replay_resume()::text`)) };
}

async function freezeReceiver(): Promise<Held> {
  const pid = Number(await onStandby(/* sql */ `select pid as value from pg_stat_wal_receiver`));
  expect(pid).toBeGreaterThan(0);
  process.kill(pid, 'SIGSTOP');
  return { release: () => Promise.resolve(void process.kill(pid, 'SIGCONT')) };
}

test.each([
  ['does not replay', pauseReplay],
  ['does not answer', freezeReceiver],
])(
  'the lag of a standby that %s is what it has not replayed and for how long; once everything is replayed it is zero',
  async (_, stop) => {
    await using db = await freshPair({ source });
    await db.sourceClient.query(TABLE);
    await caughtUp(db);
    const held = await stop();
    try {
      const began = performance.now();
      await db.sourceClient.query(ROWS);
      const replayed = await onStandby(`select pg_last_wal_replay_lsn() as value`);
      const written = async () => {
        const { rows } = await db.sourceClient.query<{ bytes: string }>(
          /* sql */ `select pg_current_wal_lsn() - $1::pg_lsn as bytes`,
          [replayed],
        );
        return Number(rows[0]?.bytes);
      };
      const least = await written();
      const { bytes } = await lagOf(db);
      expect(bytes).toBeGreaterThanOrEqual(least);
      expect(bytes).toBeLessThanOrEqual(await written());
      expect(bytes).toBeGreaterThan(MUCH);
      const seconds = await until('the lag in seconds', async () => {
        // Each row makes a standby that can reply do so.
        await db.sourceClient.query(`insert into t (filler) values ('')`);
        const lag = await lagOf(db);
        return lag.seconds > 1.5 && lag;
      });
      expect(seconds.seconds).toBeLessThan((performance.now() - began) / 1000 + 0.5);
    } finally {
      await held.release();
    }
    await until(
      'no lag, while the server still shows the last one',
      async () => {
        const lag = await lagOf(db);
        const { rowCount } = await db.sourceClient.query(
          /* sql */ `select from pg_stat_replication where replay_lag > '0' and replay_lsn = pg_current_wal_lsn()`,
        );
        return lag.bytes === 0 && lag.seconds === 0 && rowCount === 1;
      },
      { seconds: 20 },
    );
  },
);

test('a standby that lags holds the copy, and the copy continues automatically when the standby has caught up', async () => {
  await using db = await freshPair({ source });
  await db.sourceClient.query(TABLE);
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const reports: GuardReport[] = [];
  const guard = { replicaLagBytes: MUCH, replicaLagSeconds: 300 };
  await caughtUp(db);
  await using _held = await holding(db, migration, guard, (report) => void reports.push(report));
  await until('the first measurement', () => reports.length === 1);
  const held = await pauseReplay();
  try {
    await db.sourceClient.query(ROWS);
    await until('the guard to hold', () => reports.at(-1)?.holding === true);
  } finally {
    await held.release();
  }
  await until('the guard to release the copy', () => reports.at(-1)?.holding === false);
  const measured = { measure: 'replicaLagBytes', ceiling: MUCH };
  expect(reports).toMatchObject([{ holding: false }, measured, { holding: false }]);
  expect(reports[1]?.value).toBeGreaterThan(MUCH);
});

test('receivers of logical changes do not count as replicas: neither our stream nor a subscription, however far behind', async () => {
  await using db = await freshPair({ source });
  const tables = { include: ['public.t'], exclude: [] };
  const migration = await startMigration(db, TABLE, tables);
  await db.sourceClient.query(`create table public.u (id int primary key, filler text)`);
  await db.targetClient.query(`create table public.u (id int primary key, filler text)`);
  await db.sourceClient.query(`create publication p for table public.u`);
  const { spec, port } = source;
  const from = `host=${LOOPBACK} port=${port} dbname=${db.source} user=${spec.role} password=${spec.password}`;
  const name = `s_${db.target}`;
  await db.targetClient.query(
    `create subscription ${name} connection ${pg.escapeLiteral(from)} publication p with (copy_data = false)`,
  );
  await using application = await connectTo(db.target);
  const work = testWork();
  // It may stop waiting for the lock.
  const lease = streamChanges(migration, { ...OPTIONS, ...tables }, work).catch(() => undefined);
  try {
    await application.query('begin; lock table public.t, public.u in exclusive mode');
    await db.sourceClient.query(ROWS);
    await db.sourceClient.query(`insert into u select id, filler from t`);
    await until('both to stay behind', async () => {
      const { rowCount } = await db.sourceClient.query(
        /* sql */ `select from pg_stat_replication join pg_replication_slots on active_pid = pid
          where slot_type = 'logical' and pg_current_wal_lsn() - replay_lsn > $1`,
        [MUCH],
      );
      return rowCount === 2;
    });
    await caughtUp(db);
    expect(await lagOf(db)).toEqual({ bytes: 0, seconds: 0 });
    expect((await readGuard(db.sourceClient, BOTH)).replicas).toBe(1);
  } finally {
    work.abort();
    await application.query('rollback');
    await lease;
    await db.targetClient.query(`drop subscription ${name}`);
  }
});
