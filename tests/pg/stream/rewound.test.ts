/**
 * A source that lost history: its disk was restored to an earlier state, or a lagging standby was promoted. And a source that crashed
 * or was restarted, which must do no harm. The file uses its own server, because that is rewound as a whole.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MigrationError } from '../../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../../contract/lsn.ts';
import type { Migration } from '../../../contract/migration.ts';
import type { StreamReport } from '../../../contract/work.ts';
import { compareCounts } from '../../../postgres/cutover/compare-counts.ts';
import { writeEndMark } from '../../../postgres/stream/end-mark.ts';
import { laterChanges } from '../../../postgres/cutover/later-changes.ts';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { copyChunks } from '../../../postgres/snapshot/copy-run.ts';
import { holdSnapshot } from '../../../postgres/snapshot/snapshot-owner.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { streamChanges } from '../../support/lease.ts';
import { give, serverAccount } from '../../../scripts/local/cluster/account.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';
import { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { holding, inputOf, recordedWork, registered, copyAll } from '../../support/control.ts';
import { addService, connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { testRun } from '../../support/run.ts';
import { expectSame, OPTIONS, slotState, startMigration, storedLsn } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';
import { failure } from '../schema/schema-fidelity.ts';

const TABLE = /* sql */ `create table t (id int primary key, v int); create sequence s`;

let source: PostgresServer & AsyncDisposable;

beforeAll(async () => {
  source = await serverOf('source', { folder: testRun().source.programs, version: 'rewound' });
});
afterAll(() => source[Symbol.asyncDispose]());

/** Statements on the source over a new session: the old ones are gone after a restart. */
async function sql(db: FreshPair, ...statements: string[]): Promise<void> {
  await using client = await connectTo(db.source);
  for (const statement of statements) await client.query(statement);
}

async function drained(migration: Migration): Promise<StreamReport> {
  const end = await writeEndMark(migration);
  for (;;) {
    const report = await streamChanges(migration, { ...OPTIONS, until: end }, recordedWork());
    if (report.reached) return report;
  }
}

/** A copy of the server's disk in its current state. */
async function image(name: string): Promise<string> {
  const folder = path.join(source.spec.folder, name);
  await source.stop('fast');
  execFileSync('cp', ['-a', source.dataFolder, folder]);
  await source.start();
  return folder;
}

async function restoreImage(folder: string): Promise<void> {
  await source.stop('immediate');
  rmSync(source.dataFolder, { recursive: true });
  execFileSync('cp', ['-a', folder, source.dataFolder]);
  await source.start();
}

/** A standby over a copy of the disk; without a primary it stays at that position. */
async function standby(
  folder: string,
  follows: boolean,
  settings: readonly string[] = [],
): Promise<PostgresServer & AsyncDisposable> {
  const { spec } = source;
  const name = `standby-${randomBytes(3).toString('hex')}`;
  const server = new PostgresServer({ ...spec, name, folder: path.join(testRun().folder, name) });
  mkdirSync(server.spec.folder);
  execFileSync('cp', ['-a', folder, server.dataFolder]);
  const signal = path.join(server.dataFolder, 'standby.signal');
  writeFileSync(signal, '');
  give(signal, serverAccount());
  const primary = `host=${LOOPBACK} port=${source.port} user=${spec.role} password=${spec.password}`;
  if (follows) {
    appendFileSync(
      path.join(server.dataFolder, 'postgresql.auto.conf'),
      `primary_conninfo = '${primary}'\n`,
    );
  }
  appendFileSync(
    path.join(server.dataFolder, 'postgresql.auto.conf'),
    settings.map((one) => `${one}\n`).join(''),
  );
  await server.start();
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.stop('immediate') });
}

async function caughtUp(server: PostgresServer, lsn: Lsn): Promise<void> {
  await until('the standby', () =>
    server.query('postgres', async (client) => {
      const { rows } = await client.query<{ there: boolean }>(
        /* sql */ `select pg_last_wal_replay_lsn() >= $1::pg_lsn as there`,
        [lsn],
      );
      return rows[0]?.there === true;
    }),
  );
}

async function slotOf(db: FreshPair, migration: Migration): ReturnType<typeof slotState> {
  await using sourceClient = await connectTo(db.source);
  return await slotState({ ...db, sourceClient }, migration);
}

/**
 * Applies a change and stops the source until the slot is behind the target afterwards. Once is usually enough, because a server
 * does not save a confirmed position at once. But when a record of the running transactions, written every 15 s, advances the slot's
 * restart position, it does, and then the slot is not behind.
 */
async function endUntilBehind(
  db: FreshPair,
  migration: Migration,
  mode: 'fast' | 'immediate',
): Promise<void> {
  for (;;) {
    await sql(db, /* sql */ `insert into t select coalesce(max(id), 0) + 1, 0 from t`);
    await drained(migration);
    await source.stop(mode);
    await source.start();
    const { confirmed } = await slotOf(db, migration);
    if (compareLsn(confirmed, await storedLsn(db, migration)) < 0) return;
  }
}

/** Until the WAL of the source is longer than what the target has. */
async function writePast(db: FreshPair, migration: Migration): Promise<void> {
  const stored = await storedLsn(db, migration);
  await using client = await connectTo(db.source);
  for (;;) {
    await client.query(/* sql */ `update t set v = v + 1`);
    const { rows } = await client.query<{ past: boolean }>(
      /* sql */ `select pg_current_wal_flush_lsn() > $1::pg_lsn + 100000 as past`,
      [stored],
    );
    if (rows[0]?.past === true) return;
  }
}

/** Every step that reads the source for the target, and that would hang or read wrong data without the comparison. */
async function refusals(db: FreshPair, migration: Migration): Promise<MigrationError[]> {
  const input = inputOf(db);
  const stored = await storedLsn(db, migration);
  return [
    await failure(
      streamChanges(migration, { ...OPTIONS, until: null, leaseMs: 1_000 }, recordedWork()),
      'SourceRewound',
    ),
    await failure(compareCounts(migration, input, recordedWork()), 'SourceRewound'),
    await failure(setSequences(migration, input), 'SourceRewound'),
    await failure(laterChanges(migration, input, stored), 'SourceRewound'),
  ];
}

test('a restored disk image is refused by stream, copy and cutover, whether its WAL ends before or after the stored position', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await sql(db, /* sql */ `insert into t select i, 0 from generate_series(1, 100) i`);
  await drained(migration);
  const before = await image('before');
  const lost = /* sql */ `insert into t select i, 1 from generate_series(2001, 2300) i`;
  await sql(db, lost, /* sql */ `update t set v = 1 where id = 1`);
  const { confirmedLsn } = await drained(migration);
  await restoreImage(before);
  const target = await counted(db);
  for (const { message } of await refusals(db, migration)) expect(message).toContain(confirmedLsn);
  await failure(writeEndMark(migration), 'SourceRewound');
  // No step waits for a snapshot that never becomes recent enough.
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'resync', reason = 'changed'`,
  );
  await failure(holdSnapshot(migration, recordedWork()), 'SourceRewound');
  await failure(planCopy(migration, inputOf(db), recordedWork()), 'SourceRewound');
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'ready', reason = null`,
  );
  // The application first repeats what was lost: records of the same length at the same positions.
  await sql(db, lost, /* sql */ `update t set v = 1 where id = 1`);
  await writePast(db, migration);
  for (const { message } of await refusals(db, migration)) expect(message).toContain(confirmedLsn);
  expect(await counted(db)).toEqual(target);
});

test('a disk image restored after rows were copied is detected by the mark of the copy before a later change is applied', async () => {
  await using db = await freshPair({ source });
  await db.targetClient.query(TABLE);
  await sql(db, TABLE, /* sql */ `insert into t select i, 0 from generate_series(1, 100) i`);
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const before = await image('copied');
  await sql(db, /* sql */ `insert into t select i, 1 from generate_series(201, 400) i`);
  const held = await holding(db, migration);
  const plan = await planCopy(migration, inputOf(db), recordedWork());
  await copyAll(migration, plan);
  await held.stop();
  await restoreImage(before);
  // A plan with nothing left to copy needs no source.
  await db.targetClient.query(/* sql */ `update walferry.chunk set done_at = null;
    update walferry.relation set state = 'copying', chunks_left = 1`);
  await failure(planCopy(migration, inputOf(db), recordedWork()), 'SourceRewound');
  await failure(
    copyChunks(migration, { pass: 1, run: plan.runs[0] ?? NO_RUN }, recordedWork()),
    'SourceRewound',
  );
  await db.targetClient.query(/* sql */ `update walferry.chunk set done_at = now();
    update walferry.relation set state = 'catching-up', chunks_left = 0`);
  await writePast(db, migration);
  const end = await writeEndMark(migration);
  await failure(
    streamChanges(migration, { ...OPTIONS, until: end }, recordedWork()),
    'SourceRewound',
  );
  const { mark } = held.pass;
  expect(compareLsn(await storedLsn(db, migration), mark?.lsn ?? end)).toBeLessThan(0);
});
const NO_RUN = { id: 'none', label: 'none', firstChunk: 1, lastChunk: 1 };

test('a restart and a crash of the source that leave its slot behind the target do no harm', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  for (const mode of ['fast', 'immediate'] as const) {
    await endUntilBehind(db, migration, mode);
    // Nothing new, something new, and the cutover's own checks.
    await drained(migration);
    await source.stop(mode);
    await source.start();
    await compareCounts(migration, inputOf(db), recordedWork());
    await sql(db, /* sql */ `insert into t select max(id) + 1, 0 from t`);
    await drained(migration);
  }
  await expectSame(db);
});

test('a migration that never stored its last commit continues after a crash of the source', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await endUntilBehind(db, migration, 'immediate');
  await db.targetClient.query(
    /* sql */ `update walferry.migration set commit_lsn = null, commit_xid = null, commit_at = null`,
  );
  await sql(db, /* sql */ `insert into t select max(id) + 1, 0 from t`);
  await drained(migration);
  await expectSame(db);
});

test('a source is refused whose commit is before the stored position although the target never got it', async () => {
  await using db = await freshPair({ source });
  await db.targetClient.query(TABLE);
  await sql(db, TABLE);
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const { rows } = await db.targetClient.query(
    /* sql */ `select commit_lsn = consistent_lsn as same from walferry.migration`,
  );
  expect(rows).toEqual([{ same: true }]);
  const { confirmed } = await slotOf(db, migration);
  // A position after a commit that the target does not have.
  await sql(db, /* sql */ `insert into t values (1, 0)`);
  const end = await writeEndMark(migration);
  await db.targetClient.query(
    /* sql */ `update walferry.migration set confirmed_lsn = $1::pg_lsn`,
    [end],
  );
  expect(compareLsn(confirmed, end)).toBeLessThan(0);
  await failure(
    streamChanges(migration, { ...OPTIONS, leaseMs: 1_000 }, recordedWork()),
    'SourceRewound',
  );
});

test('a promoted standby is accepted if it has everything, and refused if it lagged', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await sql(db, /* sql */ `insert into t select i, 0 from generate_series(1, 100) i`);
  await drained(migration);
  const base = await image('standby');
  await using complete = await standby(base, true);
  await using lagging = await standby(base, false);
  await sql(db, /* sql */ `insert into t values (201, 1), (202, 1)`);
  const { confirmedLsn } = await drained(migration);
  await caughtUp(complete, confirmedLsn);
  await source.stop('immediate');
  const at = (server: PostgresServer, name: string): Migration => {
    const service = `${db.source}_${name}`;
    const port = String(server.port);
    addService(service, { host: LOOPBACK, port, dbname: db.source, user: server.spec.role });
    return { ...migration, source: service };
  };
  const [good, bad] = [at(complete, 'complete'), at(lagging, 'lagging')];
  // Not promoted yet: it shows the past.
  await failure(compareCounts(good, inputOf(db), recordedWork()), 'Unreachable');
  for (const server of [complete, lagging]) {
    await server.query(db.source, async (client) => {
      await client.query(/* sql */ `select pg_promote()`);
      await client.query(/* sql */ `insert into t values (301, 2)`);
    });
  }
  expect(
    (await failure(compareCounts(bad, inputOf(db), recordedWork()), 'SourceRewound')).message,
  ).toContain('timeline');
  await failure(
    streamChanges(bad, { ...OPTIONS, leaseMs: 1_000 }, recordedWork()),
    'SourceRewound',
  );
  await drained(good);
  await drained(good);
  expect(await counted(db)).toEqual({ n: '103', s: '4' });
  await source.start();
  // The old primary returns: it lacks what the target has got since.
  await failure(drained(migration), 'SourceRewound');
});

test('the stream continues with a standby promoted at exactly the stored position: the old primary’s later commit is on neither side', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await sql(db, /* sql */ `insert into t select i, 0 from generate_series(1, 100) i`);
  await drained(migration);
  const base = await image('exact');
  await sql(db, /* sql */ `insert into t values (201, 1)`);
  const { confirmedLsn } = await drained(migration);
  await sql(db, /* sql */ `insert into t values (666, 6)`);
  await using exact = await standby(base, true, [
    `recovery_target_lsn = '${confirmedLsn}'`,
    `recovery_target_inclusive = off`,
    `recovery_target_action = promote`,
  ]);
  await until('the promotion', () =>
    exact.query(db.source, async (client) => {
      const { rows } = await client.query<{ promoted: boolean }>(
        /* sql */ `select not pg_is_in_recovery() as promoted`,
      );
      return rows[0]?.promoted === true;
    }),
  );
  const service = `${db.source}_exact`;
  const port = String(exact.port);
  addService(service, { host: LOOPBACK, port, dbname: db.source, user: exact.spec.role });
  await exact.query(db.source, (client) => client.query(/* sql */ `insert into t values (301, 2)`));
  const promoted = { ...migration, source: service };
  await drained(promoted);
  await drained(promoted);
  expect(await counted(db)).toEqual({ n: '102', s: '3' });
  await failure(drained(migration), 'SourceRewound');
});

async function counted(db: FreshPair): Promise<unknown> {
  const { rows } = await db.targetClient.query(
    /* sql */ `select count(*)::text as n, sum(v)::text as s from t`,
  );
  return rows[0];
}
