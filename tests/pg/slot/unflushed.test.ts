/**
 * A source whose application commits with `synchronous_commit = off`: what is visible may be lost in a crash. The file uses its own
 * server, which crashes and has a slow WAL writer.
 */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NonFiniteNumbers } from '../../../postgres/apply/non-finite.ts';
import { releaseSlot } from '../../../postgres/cutover/release-slot.ts';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { streamChanges } from '../../support/lease.ts';
import type { PostgresServer } from '../../../scripts/local/cluster/postgres-server.ts';
import { AMBIGUOUS } from '../../support/ambiguous.ts';
import {
  copyAll,
  holding,
  inputOf,
  migrationOf,
  recordedWork,
  registered,
} from '../../support/control.ts';
import { drainWithCopies } from '../../support/resync.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { testRun } from '../../support/run.ts';
import { expectSame, marked, OPTIONS, startMigration, storedLsn } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';

const TABLE = /* sql */ `create table t (id int primary key, v numeric)`;
const TABLES = /* sql */ `${TABLE}; create sequence s; insert into t values (1, 1)`;

let source: PostgresServer & AsyncDisposable;

beforeAll(async () => {
  source = await serverOf('source', { folder: testRun().source.programs, version: 'unflushed' });
  await source.query('postgres', async (client) => {
    await client.query(/* sql */ `alter system set wal_writer_delay = '10s'`);
    await client.query(/* sql */ `alter system set autovacuum = off`);
    await client.query(/* sql */ `select pg_reload_conf()`);
  });
});
afterAll(() => source[Symbol.asyncDispose]());

/** Runs a statement whose commit is still in memory, and returns where its record ends. */
async function unflushed(db: FreshPair, statement: string): Promise<string> {
  await using client = await connectTo(db.source);
  await client.query(/* sql */ `set synchronous_commit = off`);
  // The WAL writer may be in the middle of its cycle.
  return await until('a commit that is not flushed', async () => {
    await client.query(statement);
    const { rows } = await client.query<{ lsn: string; flushed: boolean }>(/* sql */ `
      select pg_current_wal_insert_lsn()::text as lsn,
             pg_current_wal_insert_lsn() <= pg_current_wal_flush_lsn() as flushed`);
    return rows[0]?.flushed === false && rows[0].lsn;
  });
}

async function isFlushed(db: FreshPair, lsn: string): Promise<boolean> {
  await using client = await connectTo(db.source);
  const { rows } = await client.query<{ flushed: boolean }>(
    /* sql */ `select pg_current_wal_flush_lsn() >= $1::pg_lsn as flushed`,
    [lsn],
  );
  return rows[0]?.flushed ?? false;
}

test('copied rows of an unflushed commit survive a crash of the source, and no transaction id is reused', async () => {
  await using db = await freshPair({ source });
  await db.targetClient.query(TABLE);
  await db.sourceClient.query(TABLE);
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  await unflushed(db, /* sql */ `insert into t select coalesce(max(id), 0) + 1, 7 from t`);
  await using held = await holding(db, migration);
  const plan = await planCopy(migration, inputOf(db), recordedWork());
  await copyAll(migration, plan);
  await source.stop('immediate');
  await source.start();
  {
    await using client = await connectTo(db.source);
    const { rows } = await client.query<{ next: string }>(
      /* sql */ `select pg_snapshot_xmax(pg_current_snapshot())::text as next`,
    );
    expect(BigInt(rows[0]?.next ?? 0)).toBeGreaterThan(held.pass.xmax);
    await client.query(/* sql */ `insert into t values (1001, 1), (1002, 2)`);
    await client.query(/* sql */ `update t set v = 8 where id = 1`);
  }
  await using sourceClient = await connectTo(db.source);
  await drainWithCopies({ ...db, sourceClient }, migration);
  await expectSame(db);
});

const READINGS: readonly {
  readonly what: string;
  readonly statement: string;
  /** Prepares everything, and returns the step that reads. */
  readonly prepare: (db: FreshPair) => Promise<() => Promise<unknown>>;
}[] = [
  {
    what: 'a value that was read back',
    statement: /* sql */ `update t set v = 'NaN'`,
    prepare: async (db) => {
      const nonFinite = new NonFiniteNumbers(await startMigration(db, TABLES));
      return () => nonFinite.settle([AMBIGUOUS]).finally(() => nonFinite.close());
    },
  },
  {
    what: 'DDL that a lease of the stream has read',
    statement: /* sql */ `alter table t alter v set statistics 10`,
    prepare: async (db) => {
      const migration = await startMigration(db, TABLES);
      const end = await storedLsn(db, migration);
      return () => streamChanges(migration, { ...OPTIONS, until: end }, recordedWork());
    },
  },
  {
    what: 'a sequence that was set back',
    statement: /* sql */ `select setval('s', 1)`,
    prepare: async (db) => {
      const migration = await startMigration(db, TABLES);
      return () => setSequences(migration, inputOf(db));
    },
  },
  {
    what: 'the schema',
    statement: /* sql */ `comment on table t is 'x'`,
    prepare: async (db) => {
      await db.sourceClient.query(TABLES);
      return () => copySchema(migrationOf(db), inputOf(db), recordedWork());
    },
  },
];

test.each(READINGS)('$what is flushed on the source before it counts', async (reading) => {
  await using db = await freshPair({ source });
  const step = await reading.prepare(db);
  const lsn = await unflushed(db, reading.statement);
  await step();
  expect(await isFlushed(db, lsn)).toBe(true);
});

test('the xid barrier is durable', async () => {
  await using db = await freshPair({ source });
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  const { rows } = await db.targetClient.query<{ barrier: string }>(
    /* sql */ `select barrier::text from walferry.migration`,
  );
  await source.stop('immediate');
  await source.start();
  await using client = await connectTo(db.source);
  const next = await client.query<{ next: string }>(
    /* sql */ `select pg_snapshot_xmax(pg_current_snapshot())::text as next`,
  );
  expect(BigInt(next.rows[0]?.next ?? 0)).toBeGreaterThan(BigInt(rows[0]?.barrier ?? 0));
});

/** Runs `work`, and `before` once, ahead of statement number `at` of those that all sessions send to the source. */
async function interrupting<T>(at: number, before: () => Promise<unknown>, work: () => Promise<T>) {
  const query: unknown = Reflect.get(pg.Client.prototype, 'query');
  if (typeof query !== 'function') throw new Error('the driver has no query');
  let sent = 0;
  let interrupted = false;
  Reflect.set(
    pg.Client.prototype,
    'query',
    function (this: pg.Client, ...args: unknown[]): unknown {
      const go = (): unknown => Reflect.apply(query, this, args);
      if (interrupted || this.port !== source.port || (sent += 1) !== at) return go();
      interrupted = true;
      return before().then(go);
    },
  );
  try {
    return { result: await work(), interrupted: () => interrupted };
  } finally {
    Reflect.set(pg.Client.prototype, 'query', query);
  }
}

test('a commit that is not flushed keeps the slot, whichever statement of the release it precedes', async () => {
  await using db = await freshPair({ source });
  const migration = await startMigration(db, TABLE);
  await using writer = await connectTo(db.source);
  await writer.query(/* sql */ `set synchronous_commit = off`);
  for (let at = 1; ; at += 1) {
    const mark = await marked(migration);
    const { result, interrupted } = await interrupting(
      at,
      () => writer.query(/* sql */ `insert into t values ($1)`, [at]),
      () => releaseSlot(migration, inputOf(db), mark).catch((error: unknown) => error),
    );
    if (!interrupted()) {
      // There are fewer statements: the whole release was covered.
      expect(result).toBe('dropped');
      expect(at).toBeGreaterThan(10);
      return;
    }
    expect(result, `before statement ${at}`).toMatchObject({ code: 'StillWriting' });
  }
});
