/**
 * Tables that temporarily had another name: their changes were sent under that name, which the stream ignores, or another table's
 * changes were sent under theirs. Between two checks of the catalog, only the age of the table's `pg_type` row shows it.
 */
import { expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import { writeEndMark } from '../../../postgres/stream/end-mark.ts';
import { laterChanges } from '../../../postgres/cutover/later-changes.ts';
import { streamChanges } from '../../support/lease.ts';
import { drainWithCopies } from '../../support/resync.ts';
import { freshPair } from '../../support/database.ts';
import {
  EVERYTHING,
  expectSame,
  OPTIONS,
  startMigration,
  testWork,
  untilStreaming,
} from '../../support/stream.ts';

const TABLES = /* sql */ `
  create schema away;
  create table t (id int primary key, v text); insert into t select i, 'copied' from generate_series(1, 20) i;
  create table other (id int primary key, v text); insert into other select i, 'other' from generate_series(1, 20) i;`;

const AWAY: readonly { readonly title: string; readonly sql: readonly string[] }[] = [
  {
    title: 'renamed, changed and renamed back',
    sql: [
      `alter table t rename to moved`,
      `update moved set v = 'lost' where id < 5; insert into moved values (50, 'lost'); delete from moved where id = 20`,
      `alter table moved rename to t`,
    ],
  },
  {
    title: 'renamed, changed and renamed back in one transaction',
    sql: [
      `begin; alter table t rename to moved; update moved set v = 'lost'; alter table moved rename to t; commit`,
    ],
  },
  {
    title: 'temporarily in another schema',
    sql: [
      `alter table t set schema away`,
      `update away.t set v = 'lost' where id < 5`,
      `alter table away.t set schema public`,
    ],
  },
  {
    title: 'given to another owner while renamed',
    sql: [
      `alter table t rename to moved; alter table moved owner to pg_monitor`,
      `truncate moved; insert into moved values (1, 'lost')`,
      `alter table moved rename to t`,
    ],
  },
  {
    title: 'swapped with another table and back',
    sql: [
      `begin; alter table t rename to moved; alter table other rename to t; alter table moved rename to other; commit`,
      `insert into t values (90, 'of other')`,
      `begin; alter table t rename to moved; alter table other rename to t; alter table moved rename to other; commit`,
    ],
  },
];

for (const { title, sql } of AWAY) {
  test(`a table that was ${title} is resynced`, async () => {
    await using db = await freshPair();
    const migration = await startMigration(db, TABLES);
    await drainWithCopies(db, migration);
    for (const one of sql) await db.sourceClient.query(one);
    await db.sourceClient.query(`insert into t values (99, 'later')`);
    expect((await drainWithCopies(db, migration)).join()).toContain('public.t ');
    await expectSame(db);
    expect(await drainWithCopies(db, migration)).toEqual([]);
  });
}

test('a table that had another name in the middle of a lease is resynced, also when no change follows', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLES);
  const work = testWork();
  const streaming = streamChanges(migration, OPTIONS, work);
  await untilStreaming(db, migration);
  for (const one of AWAY[0]?.sql ?? []) await db.sourceClient.query(one);
  work.abort();
  await streaming;
  expect((await drainWithCopies(db, migration)).join()).toContain('public.t ');
  await expectSame(db);
});

test('the final check of a cutover finds a table that had another name since the drain', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLES);
  await drainWithCopies(db, migration);
  const parsed = parseInput({ source: db.source, target: db.target });
  if (!parsed.ok) throw new Error(parsed.message);
  const mark = await writeEndMark(migration);
  expect(await laterChanges(migration, parsed.input, mark)).toEqual([]);
  for (const one of AWAY[1]?.sql ?? []) await db.sourceClient.query(one);
  expect(await laterChanges(migration, parsed.input, mark)).toEqual(['public.t']);
});

test('a partition that goes through its root and had another name resyncs the tree', async () => {
  await using db = await freshPair();
  const selection = { ...EVERYTHING, viaPartitionRoot: ['public.p'] };
  const migration = await startMigration(
    db,
    /* sql */ `create table p (id int primary key, v text) partition by range (id);
      create table p1 partition of p for values from (0) to (10); create table p2 partition of p for values from (10) to (20);
      insert into p values (1, 'a'), (11, 'b')`,
    selection,
    /* sql */ `create table p (id int primary key, v text)`,
  );
  await drainWithCopies(db, migration, selection);
  await db.sourceClient.query(`alter table p2 rename to moved`);
  await db.sourceClient.query(`insert into p values (12, 'lost')`);
  await db.sourceClient.query(`alter table moved rename to p2`);
  expect(await drainWithCopies(db, migration, selection)).not.toEqual([]);
  const sql = /* sql */ `select id, v from p order by id`;
  expect((await db.targetClient.query(sql)).rows).toEqual((await db.sourceClient.query(sql)).rows);
});

test('a scratch table with the name of a planned table copies nothing, also after a GRANT on its schema', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLES);
  await db.sourceClient.query(`grant usage on schema public to public`);
  await db.sourceClient.query(
    `create schema scratch; create table scratch.t (id int primary key); insert into scratch.t values (1); drop schema scratch cascade`,
  );
  await db.sourceClient.query(`insert into t values (99, 'later')`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

test('grants, comments, policies, inheritance, statistics, indexes and setting the same owner copy nothing', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLES);
  await drainWithCopies(db, migration);
  for (const one of [
    `grant select on t to public; grant usage on schema public to public`,
    `comment on table t is 'x'; alter table t owner to current_user; alter schema public owner to current_user`,
    `create policy p on t; alter table t enable row level security`,
    `create table child () inherits (t); drop table child`,
    `alter table t alter v set statistics 7; create index on t (v); create statistics s on id, v from t`,
    `vacuum (freeze, analyze) t; vacuum full pg_catalog.pg_type; vacuum (freeze) pg_catalog.pg_type`,
    `alter index t_pkey rename to t_key; alter table t cluster on t_key; alter table t set (fillfactor = 50)`,
    `create view moved as select * from t; drop view moved; create type _t_ as (x int); create table _t (x int primary key); drop table _t`,
  ]) {
    for (const statement of one.split('; ')) {
      await db.sourceClient.query(statement);
    }
    await db.sourceClient.query(`update t set v = 'arrived' where id = 3`);
  }
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});
