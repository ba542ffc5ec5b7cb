/**
 * Columns that have another type for a time, which leaves their rows as they are: what is sent or copied then has texts that the target
 * would read as other values. Each case ends with an exact comparison.
 */
import { expect, test } from 'vitest';
import { copyAgain, drainWithCopies, failureOf } from '../support/copy-again.ts';
import { connectTo, freshPair, type FreshPair } from '../support/database.ts';
import {
  expectSame,
  OPTIONS,
  startMigration,
  testWork,
  untilStreaming,
} from '../support/stream.ts';
import { streamChanges } from '../support/lease.ts';
import { until } from '../support/until.ts';

/** ALTER TYPE between the two leaves the rows as they are under UTC; the target reads a text without a zone under its own. */
async function zoned(): Promise<FreshPair> {
  const db = await freshPair();
  await db.sourceClient.query(/* sql */ `set timezone = 'UTC'`);
  await db.targetClient.query(
    /* sql */ `alter database ${db.target} set timezone = 'America/New_York'`,
  );
  return db;
}

const CASES: readonly {
  readonly title: string;
  readonly table: string;
  readonly sql: readonly string[];
}[] = [
  {
    title: 'a timestamptz that was a timestamp',
    table: /* sql */ `create table t (id int primary key, at timestamptz); insert into t values (1, '2020-01-01 00:00+00')`,
    sql: [
      /* sql */ `alter table t alter at type timestamp`,
      /* sql */ `insert into t values (2, '2020-06-01'); update t set at = '2021-01-01' where id = 1`,
      /* sql */ `alter table t alter at type timestamptz`,
    ],
  },
  {
    title: 'a timestamptz that was a timestamp within one transaction',
    table: /* sql */ `create table t (id int primary key, at timestamptz)`,
    sql: [
      /* sql */ `begin; alter table t alter at type timestamp; insert into t values (2, '0044-03-15 BC');
        alter table t alter at type timestamptz; commit`,
      /* sql */ `insert into t values (3, 'infinity'), (4, '2020-01-01 00:00+05:30')`,
    ],
  },
  {
    title: 'a timestamptz in the key that was a timestamp',
    table: /* sql */ `create table t (at timestamptz primary key, v int); insert into t values ('2020-06-01 00:00+00', 1), ('2020-06-01 04:00+00', 2)`,
    sql: [
      /* sql */ `alter table t alter at type timestamp`,
      // Read under the target's zone, that is the other row.
      /* sql */ `delete from t where at = '2020-06-01 00:00'`,
      /* sql */ `alter table t alter at type timestamptz`,
    ],
  },
  {
    title: 'a domain over timestamptz that was a timestamp',
    table: /* sql */ `create domain moment as timestamptz; create table t (id int primary key, at moment)`,
    sql: [
      /* sql */ `alter table t alter at type timestamp using at::timestamptz`,
      /* sql */ `insert into t values (2, '2020-06-01')`,
      /* sql */ `alter table t alter at type moment using at::timestamptz`,
    ],
  },
  {
    title: 'a regclass that was an oid',
    table: /* sql */ `create table t (id int primary key, r regclass); create table named (id int primary key)`,
    sql: [
      /* sql */ `alter table t alter r type oid`,
      /* sql */ `insert into t values (1, 'named'::regclass)`,
      /* sql */ `alter table t alter r type regclass`,
    ],
  },
];

test.each(CASES)('$title between two leases is copied again', async ({ table, sql }) => {
  await using db = await zoned();
  // Oids differ from the source's.
  await db.targetClient.query(/* sql */ `create table first (id int); drop table first`);
  const migration = await startMigration(db, table);
  for (const statement of sql) await db.sourceClient.query(statement);
  expect((await drainWithCopies(db, migration)).join()).toContain(
    'from when that had another type',
  );
  await expectSame(db);
});

test.each(CASES)('$title in the middle of a lease arrives as it is', async ({ table, sql }) => {
  await using db = await zoned();
  await db.targetClient.query(/* sql */ `create table first (id int); drop table first`);
  const migration = await startMigration(db, table);
  const work = testWork();
  const streaming = streamChanges(migration, OPTIONS, work);
  let ended = false;
  const settled = streaming.then(
    () => undefined,
    () => undefined,
  );
  void settled.then(() => (ended = true));
  await untilStreaming(db, migration);
  for (const statement of sql) await db.sourceClient.query(statement);
  await until('the lease to get there', async () => {
    const { rows } = await db.sourceClient.query<{ there: boolean }>(
      /* sql */ `select confirmed_flush_lsn >= pg_current_wal_lsn() as there from pg_replication_slots where slot_name = $1`,
      [migration.slot],
    );
    return ended || rows[0]?.there === true;
  });
  work.abort();
  await settled;
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('a table is not copied while one of its columns has another type for a time', async () => {
  await using db = await zoned();
  const migration = await startMigration(db, /* sql */ `create table other (id int primary key)`);
  // A range has no binary form, so the rows go as text.
  const table = /* sql */ `create table public.t (id int primary key, at timestamptz, r int4range)`;
  await db.sourceClient.query(`${table}; insert into t values (1, '2020-06-01 00:00+00', '[1,2)')`);
  await db.targetClient.query(table);
  expect((await failureOf(db, migration))?.code).toBe('CopyAgain');
  await copyAgain(db, migration, undefined, async () => {
    await db.sourceClient.query(/* sql */ `alter table t alter at type timestamp`);
  });
  await db.sourceClient.query(/* sql */ `alter table t alter at type timestamptz`);
  expect((await drainWithCopies(db, migration)).join()).toContain('public.t');
  await expectSame(db);
});

test('statistics, defaults and NOT NULL of a timestamptz copy nothing', async () => {
  await using db = await zoned();
  const migration = await startMigration(
    db,
    /* sql */ `create table t (id int primary key, at timestamptz, r regclass); insert into t values (1, now(), 'pg_class')`,
  );
  await db.sourceClient.query(
    /* sql */ `alter table t alter at set statistics 10; alter table t alter r set default 'pg_proc'`,
  );
  await db.sourceClient.query(
    /* sql */ `insert into t (id, at) values (2, '-infinity'); alter table t alter at set not null`,
  );
  await db.sourceClient.query(
    /* sql */ `insert into t values (3, '2020-06-01 BC', 'pg_class'); update t set at = now()`,
  );
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
  await using application = await connectTo(db.source);
  await application.query(/* sql */ `insert into t values (4, now())`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});
