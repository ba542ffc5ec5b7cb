/**
 * Columns that temporarily have another type. On the source, that may keep the rows unchanged: what is sent or copied then has texts that
 * the target would read as other values. On the target, it rounds or truncates them. Each test ends with an exact comparison.
 */
import { expect, test } from 'vitest';
import { readPlannedRelations } from '../../../postgres/store/planned-relation.ts';
import { checkDrift } from '../../../postgres/drift/drift-check.ts';
import { resync, drainWithCopies, failureOf } from '../../support/resync.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import {
  drain,
  EVERYTHING,
  expectSame,
  OPTIONS,
  startMigration,
  testWork,
  untilStreaming,
} from '../../support/stream.ts';
import { streamChanges } from '../../support/lease.ts';
import { until } from '../../support/until.ts';

/** Under UTC, ALTER TYPE between the two keeps the rows unchanged; the target reads a text without a zone under its own zone. */
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
    title: 'a timestamptz that is temporarily a timestamp',
    table: /* sql */ `create table t (id int primary key, at timestamptz); insert into t values (1, '2020-01-01 00:00+00')`,
    sql: [
      /* sql */ `alter table t alter at type timestamp`,
      /* sql */ `insert into t values (2, '2020-06-01'); update t set at = '2021-01-01' where id = 1`,
      /* sql */ `alter table t alter at type timestamptz`,
    ],
  },
  {
    title: 'a timestamptz that is a timestamp within one transaction',
    table: /* sql */ `create table t (id int primary key, at timestamptz)`,
    sql: [
      /* sql */ `begin; alter table t alter at type timestamp; insert into t values (2, '0044-03-15 BC');
        alter table t alter at type timestamptz; commit`,
      /* sql */ `insert into t values (3, 'infinity'), (4, '2020-01-01 00:00+05:30')`,
    ],
  },
  {
    title: 'a timestamptz in the key that is temporarily a timestamp',
    table: /* sql */ `create table t (at timestamptz primary key, v int); insert into t values ('2020-06-01 00:00+00', 1), ('2020-06-01 04:00+00', 2)`,
    sql: [
      /* sql */ `alter table t alter at type timestamp`,
      // Read under the target's zone, it matches the other row.
      /* sql */ `delete from t where at = '2020-06-01 00:00'`,
      /* sql */ `alter table t alter at type timestamptz`,
    ],
  },
  {
    title: 'a domain over timestamptz that is temporarily a timestamp',
    table: /* sql */ `create domain moment as timestamptz; create table t (id int primary key, at moment)`,
    sql: [
      /* sql */ `alter table t alter at type timestamp using at::timestamptz`,
      /* sql */ `insert into t values (2, '2020-06-01')`,
      /* sql */ `alter table t alter at type moment using at::timestamptz`,
    ],
  },
  {
    title: 'a regclass that is temporarily an oid',
    table: /* sql */ `create table t (id int primary key, r regclass); create table named (id int primary key)`,
    sql: [
      /* sql */ `alter table t alter r type oid`,
      /* sql */ `insert into t values (1, 'named'::regclass)`,
      /* sql */ `alter table t alter r type regclass`,
    ],
  },
];

test.each(CASES)('$title between two leases causes a resync', async ({ table, sql }) => {
  await using db = await zoned();
  // Oids differ from the source's.
  await db.targetClient.query(/* sql */ `create table first (id int); drop table first`);
  const migration = await startMigration(db, table);
  for (const statement of sql) await db.sourceClient.query(statement);
  expect((await drainWithCopies(db, migration)).join()).toContain(
    'from a time when it may have had another type',
  );
  await expectSame(db);
});

async function isConfirmed(db: FreshPair, slot: string): Promise<boolean> {
  const { rows } = await db.sourceClient.query<{ there: boolean }>(
    /* sql */ `select confirmed_flush_lsn >= pg_current_wal_lsn() as there from pg_replication_slots where slot_name = $1`,
    [slot],
  );
  return rows[0]?.there === true;
}

test.each(CASES)('$title in the middle of a lease arrives exactly', async ({ table, sql }) => {
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
  await until(
    'the lease to get there',
    async () => ended || (await isConfirmed(db, migration.slot)),
  );
  work.abort();
  await settled;
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test.each(['timestamptz', 'public.moment'])(
  'a table is not copied while a column of type %s temporarily has another type',
  async (type) => {
    await using db = await zoned();
    const migration = await startMigration(
      db,
      /* sql */ `create domain public.moment as timestamptz; create table other (id int primary key)`,
    );
    // A range has no binary format, so the rows are copied as text.
    const table = /* sql */ `create table public.t (id int primary key, at ${type}, r int4range)`;
    await db.sourceClient.query(
      `${table}; insert into t values (1, '2020-06-01 00:00+00', '[1,2)')`,
    );
    await db.targetClient.query(table);
    expect((await failureOf(db, migration))?.code).toBe('Resync');
    await resync(db, migration, undefined, async () => {
      await db.sourceClient.query(
        /* sql */ `alter table t alter at type timestamp using at::timestamptz`,
      );
    });
    await db.sourceClient.query(
      /* sql */ `alter table t alter at type ${type} using at::timestamptz`,
    );
    expect((await drainWithCopies(db, migration)).join()).toContain('public.t');
    await expectSame(db);
  },
);

test('SET STATISTICS, a default or NOT NULL of a timestamptz column causes no resync', async () => {
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

/** With a sequence and without a TOAST table, a new file of the table is recognised after a rewrite. */
const CUT = [
  { title: 'rounded', type: 'numeric(12,4)', value: '1.2345', to: 'numeric(12,2)' },
  {
    title: 'truncated',
    type: 'varchar(20)',
    value: 'abcdefghij',
    to: 'varchar(5) using substr(v, 1, 5)',
  },
];

test.each(CUT)(
  'a table whose values were $title on the target by a temporary column type is resynced',
  async ({ type, value, to }) => {
    await using db = await freshPair();
    const migration = await startMigration(
      db,
      /* sql */ `create table t (id serial primary key, v ${type}); insert into t (v) values ('${value}');
        create table other (id serial primary key, v ${type}); insert into other (v) values ('${value}')`,
    );
    await drain(db, migration);
    await db.targetClient.query(/* sql */ `alter table t alter v type ${to}`);
    expect((await failureOf(db, migration))?.code).toBe('SchemaDrift');
    await db.targetClient.query(/* sql */ `alter table t alter v type ${type}`);
    const copied = (await drainWithCopies(db, migration)).join();
    expect(copied).toContain('public.t was rewritten on the target');
    expect(copied).not.toContain('public.other');
    await expectSame(db);
    // On its own, with or without a lease in between, each of these changes no value.
    await db.targetClient.query(/* sql */ `alter table t alter v set statistics 10`);
    expect(await drainWithCopies(db, migration)).toEqual([]);
    await db.targetClient.query(/* sql */ `vacuum full t`);
    await db.targetClient.query(/* sql */ `vacuum full other`);
    expect(await drainWithCopies(db, migration)).toEqual([]);
    await db.targetClient.query(/* sql */ `alter table other alter v set statistics 10`);
    expect(await drainWithCopies(db, migration)).toEqual([]);
  },
);

test('values that were rounded in partitions of the target table that rows go through are resynced', async () => {
  await using db = await freshPair();
  const selection = { include: ['app.*'], exclude: [], viaPartitionRoot: ['app.m'] };
  const table = /* sql */ `create schema app; create table app.m (id int primary key, v numeric(12,4))`;
  const migration = await startMigration(
    db,
    /* sql */ `${table} partition by range (id); create table app.m_1 partition of app.m for values from (0) to (1000);
      insert into app.m values (1, 1.2345)`,
    selection,
    /* sql */ `${table} partition by hash (id); create table app.h partition of app.m for values with (modulus 1, remainder 0)`,
  );
  await drain(db, migration, selection);
  await db.targetClient.query(/* sql */ `alter table app.m alter v type numeric(12,2)`);
  expect((await failureOf(db, migration, selection))?.code).toBe('SchemaDrift');
  await db.targetClient.query(/* sql */ `alter table app.m alter v type numeric(12,4)`);
  expect((await drainWithCopies(db, migration, selection)).join()).toContain(
    'rewritten on the target',
  );
  const { rows } = await db.targetClient.query(/* sql */ `select id, v from app.m`);
  expect(rows).toEqual([{ id: 1, v: '1.2345' }]);
  await db.targetClient.query(/* sql */ `vacuum full app.h`);
  expect(await drainWithCopies(db, migration, selection)).toEqual([]);
  await db.targetClient.query(/* sql */ `alter table app.m alter v set statistics 10`);
  expect(await drainWithCopies(db, migration, selection)).toEqual([]);
});

test('a TRUNCATE of a partition does not hide that rows of the others were rounded on the target', async () => {
  await using db = await freshPair();
  const selection = { include: ['app.*'], exclude: [], viaPartitionRoot: ['app.m'] };
  const table = /* sql */ `create schema app; create table app.m (id int primary key, v numeric(12,4)) partition by range (id);
    create table app.m_1 partition of app.m for values from (0) to (1000);
    create table app.m_2 partition of app.m for values from (1000) to (2000);`;
  const migration = await startMigration(
    db,
    `${table} insert into app.m values (1, 1.2345), (1001, 2)`,
    selection,
    table,
  );
  const work = testWork();
  const streaming = streamChanges(migration, { ...OPTIONS, ...selection }, work);
  await untilStreaming(db, migration);
  await db.targetClient.query(/* sql */ `alter table app.m alter v type numeric(12,2)`);
  await db.targetClient.query(/* sql */ `alter table app.m alter v type numeric(12,4)`);
  await db.sourceClient.query(/* sql */ `truncate app.m_2`);
  await until('the TRUNCATE to arrive', () => isConfirmed(db, migration.slot));
  work.abort();
  await streaming;
  expect((await drainWithCopies(db, migration, selection)).join()).toContain(
    'rewritten on the target',
  );
  const { rows } = await db.targetClient.query(/* sql */ `select id, v from app.m`);
  expect(rows).toEqual([{ id: 1, v: '1.2345' }]);
});

test('a lease reads a table’s definition at one moment: a column added during that read is found before a commit', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, /* sql */ `create table t (id int primary key)`);
  const rows = await readPlannedRelations(db.targetClient, migration);
  await using source = await connectTo(db.source);
  let turns = 0;
  const { followed } = await checkDrift(source, db.targetClient, migration, {
    ...{ rows, selection: EVERYTHING, epoch: null, withheld: null },
    turn: async () => {
      turns += 1;
      // On the target, too: a column that it lacks would end the lease anyway.
      if (turns === 1) {
        await db.sourceClient.query(/* sql */ `alter table t add c numeric(12,4)`);
        await db.targetClient.query(/* sql */ `alter table t add c numeric(12,2)`);
      }
    },
  });
  const [one] = followed;
  expect(turns).toBeGreaterThan(0);
  expect(one?.source.columns.map(({ name }) => name)).toEqual(
    one?.rowShapes.at(-1)?.columns.map(({ name }) => name),
  );
});
