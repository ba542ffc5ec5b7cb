/**
 * Tables that temporarily had another name: their changes were sent under that name, which the stream ignores, or another table's
 * changes were sent under theirs. Between two checks of the catalog, only the age of the table's `pg_type` row shows it.
 */
import { expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import type { Migration } from '../../../contract/migration.ts';
import type { Selection } from '../../../postgres/catalog/selection.ts';
import { writeEndMark } from '../../../postgres/stream/end-mark.ts';
import { laterChanges } from '../../../postgres/cutover/later-changes.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { registered } from '../../support/control.ts';
import { streamChanges } from '../../support/lease.ts';
import { drainWithCopies, failureOf, resync } from '../../support/resync.ts';
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
import { until } from '../../support/until.ts';

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

for (const [title, sql] of [
  [
    'in transactions of their own',
    [
      `alter schema app rename to away2`,
      `update away2.t set v = 'lost' where id < 5; delete from away2.t where id = 9`,
      `alter schema away2 rename to app`,
    ],
  ],
  [
    'in one transaction',
    [
      `begin; alter schema app rename to away2; update away2.t set v = 'lost' where id < 5; alter schema away2 rename to app; commit`,
    ],
  ],
  [
    'with a scratch table of the same name before it',
    [
      `create schema away2; create table away2.t (id int primary key); insert into away2.t values (1); drop schema away2 cascade`,
      `alter schema app rename to away2`,
      `truncate away2.t; insert into away2.t values (1, 'lost')`,
      `alter schema away2 rename to app`,
    ],
  ],
] as const) {
  for (const [live, include] of [
    [true, '*.*'],
    [false, 'app.*'],
    [true, 'app.*'],
  ] as const) {
    test(`a schema that is renamed and renamed back ${title}${live ? ', in the middle of a lease' : ''}: its tables with changes in between are resynced, selected by ${include}`, async () => {
      await using db = await freshPair();
      const selection = { include: [include], exclude: [] };
      const migration = await startMigration(db, APP, selection);
      await drainWithCopies(db, migration, selection);
      await during(db, migration, { live, selection }, sql);
      const copied = (await drainWithCopies(db, migration, selection)).join();
      expect(copied).toContain('app.t ');
      expect(copied).not.toContain('app.other ');
      await expectSame(db);
      expect(await drainWithCopies(db, migration, selection)).toEqual([]);
    });
  }
}

/** Runs the statements between two leases, or in the middle of one that gets a change after them. */
async function during(
  db: FreshPair,
  migration: Migration,
  { live, selection }: { readonly live: boolean; readonly selection: Selection },
  sql: readonly string[],
): Promise<void> {
  const work = testWork();
  let failure: unknown = null;
  const ended = live
    ? streamChanges(migration, { ...OPTIONS, ...selection }, work).catch(
        (error: unknown) => (failure = error),
      )
    : null;
  if (live) await untilStreaming(db, migration);
  for (const one of sql) await db.sourceClient.query(one);
  await db.sourceClient.query(`insert into app.other values (99, 'later')`);
  if (!live) return;
  await until('the end of the lease, or the change', async () => {
    const there = await db.targetClient.query(`select from app.other where id = 99`);
    return failure !== null || there.rowCount === 1;
  });
  work.abort();
  await ended;
}

const APP = `create schema app; ${TABLES.replace('create schema away;', '').replaceAll(/(table|into) (t|other)/g, '$1 app.$2')}`;
const SWAP = `begin; alter schema app rename to third; alter schema rival rename to app; alter schema third rename to rival; commit`;
const RIVAL = `create schema rival; create table rival.t (id int primary key, v text); insert into rival.t values (1, 'rival'), (70, 'rival')`;

for (const [live, include] of [
  [false, ['*.*']],
  [true, ['app.*']],
  [true, ['app.*', 'rival.*']],
] as const) {
  test(`two schemas that exchange their names and change back${live ? ' in the middle of a lease' : ''}: tables with changes in between are resynced, selected by ${include.join(' and ')}`, async () => {
    await using db = await freshPair();
    const selection = { include, exclude: [] };
    const migration = await startMigration(db, `${APP}; ${RIVAL}`, selection);
    await drainWithCopies(db, migration, selection);
    await during(db, migration, { live, selection }, [
      SWAP,
      `insert into app.t values (80, 'of rival'); update rival.t set v = 'of app' where id < 3`,
      SWAP,
    ]);
    const copied = (await drainWithCopies(db, migration, selection)).join();
    expect(copied).toContain('app.t ');
    expect(copied).not.toContain('app.other ');
    const sql = /* sql */ `select id, v from app.t order by id`;
    expect((await db.targetClient.query(sql)).rows).toEqual(
      (await db.sourceClient.query(sql)).rows,
    );
    if (include[0] === '*.*' || include.length > 1) await expectSame(db);
    expect(await drainWithCopies(db, migration, selection)).toEqual([]);
  });
}

test('a table that is written all the time is resynced a limited number of times after its schema was renamed, also when a lease ends right after the rename', async () => {
  await using db = await freshPair();
  const selection = { include: ['app.*', 'rival.*'], exclude: [] };
  const schema = `${APP}; ${RIVAL}; create table app.later (id int primary key)`;
  const migration = await startMigration(db, schema, selection);
  await drainWithCopies(db, migration, selection);
  await db.sourceClient.query(SWAP);
  await db.sourceClient.query(SWAP);
  await endLeaseAfterFirstChange(db, migration, selection);
  const insert = async (): Promise<void> => {
    await db.sourceClient.query(/* sql */ `insert into app.t select max(id) + 1, 'new' from app.t`);
  };
  let resyncs = 0;
  for (; resyncs < 4; resyncs += 1) {
    await insert();
    const failure = await failureOf(db, migration, selection);
    if (failure === null) break;
    expect(failure.code).toBe('Resync');
    await resync(db, migration, selection, insert);
  }
  expect(resyncs).toBeLessThan(2);
  await expectSame(db);
});

for (const between of [
  'a lease that reaches its end',
  'a lease that ends early',
  'a lease in which no other transaction writes',
] as const) {
  test(`no row is lost when a transaction changes a table under another name of its schema and commits after ${between} has seen the schema under its own name again`, async () => {
    await using db = await freshPair();
    const selection = { include: ['app.*', 'rival.*'], exclude: [] };
    const schema = `${APP}; ${RIVAL}; create table app.later (id int primary key)`;
    const migration = await startMigration(db, schema, selection);
    await drainWithCopies(db, migration, selection);
    await using writer = await connectTo(db.source);
    await db.sourceClient.query(/* sql */ `alter schema app rename to away`);
    await db.sourceClient.query(/* sql */ `begin; select pg_current_xact_id()`);
    // Its id is above all that have ended: no snapshot shows that it is open.
    await writer.query(/* sql */ `begin; insert into away.t values (60, 'lost')`);
    await db.sourceClient.query(/* sql */ `alter schema away rename to app; commit`);
    if (between === 'a lease that ends early') {
      await endLeaseAfterFirstChange(db, migration, selection);
    } else if (between === 'a lease that reaches its end') {
      await drain(db, migration, selection);
      await drain(db, migration, selection);
    } else {
      const short = { ...OPTIONS, ...selection, leaseMs: 500 };
      await streamChanges(migration, short, testWork());
      await streamChanges(migration, short, testWork());
    }
    await writer.query(/* sql */ `commit`);
    // Under which name the change is sent depends on where decoding began.
    await drainWithCopies(db, migration, selection);
    await expectSame(db);
    expect(await drainWithCopies(db, migration, selection)).toEqual([]);
  });
}

test('no row is lost when a transaction changes a table under another name of its schema while the copy begins, and commits after it', async () => {
  await using db = await freshPair();
  const selection = { include: ['*.*'], exclude: [] };
  await db.sourceClient.query(APP);
  await db.targetClient.query(APP.replace(/insert[^;]*;?/g, ''));
  const migration = await registered(db);
  await createSlot(migration, testWork());
  await using writer = await connectTo(db.source);
  await db.sourceClient.query(/* sql */ `alter schema app rename to away`);
  await writer.query(/* sql */ `begin; insert into away.t values (60, 'lost')`);
  await db.sourceClient.query(/* sql */ `alter schema away rename to app`);
  await resync(db, migration, selection);
  await writer.query(/* sql */ `commit`);
  await drainWithCopies(db, migration, selection);
  await expectSame(db);
});

/** The stream stops between two changes: the target's table of the second is locked. */
async function endLeaseAfterFirstChange(
  db: FreshPair,
  migration: Migration,
  selection: Selection,
): Promise<void> {
  await db.sourceClient.query(/* sql */ `insert into app.other values (99, 'first')`);
  await db.sourceClient.query(/* sql */ `insert into app.later values (1)`);
  await db.targetClient.query(/* sql */ `begin; lock table app.later in exclusive mode`);
  const work = testWork();
  const ended = streamChanges(migration, { ...OPTIONS, ...selection, batchChanges: 1 }, work);
  await using target = await connectTo(db.target);
  await until('the first change', async () => {
    return (await target.query(/* sql */ `select from app.other where id = 99`)).rowCount === 1;
  });
  work.abort();
  await ended;
  await db.targetClient.query(/* sql */ `rollback`);
}

test('a table is resynced when a transaction changes it under another name of its schema and commits after the schema was renamed back', async () => {
  await using db = await freshPair();
  const selection = { include: ['app.*'], exclude: [] };
  const migration = await startMigration(db, APP, selection);
  await drainWithCopies(db, migration, selection);
  await using writer = await connectTo(db.source);
  await using renamer = await connectTo(db.source);
  await db.sourceClient.query(`alter schema app rename to away`);
  await renamer.query(`begin; select pg_current_xact_id()`);
  await writer.query(`begin; insert into away.t values (60, 'lost')`);
  await renamer.query(`alter schema away rename to app; commit`);
  await writer.query(`commit`);
  expect((await drainWithCopies(db, migration, selection)).join()).toContain('app.t ');
  await expectSame(db);
});

test('a table is resynced when another schema temporarily had the name of its schema, with a table of the same name, and was dropped or stays', async () => {
  for (const last of [`drop schema app cascade`, `alter schema app rename to rival`]) {
    await using db = await freshPair();
    const selection = { include: ['app.*'], exclude: [] };
    const migration = await startMigration(db, `${APP}; ${RIVAL}`, selection);
    await drainWithCopies(db, migration, selection);
    for (const one of [
      `alter schema app rename to old; alter schema rival rename to app`,
      `insert into app.t values (80, 'of rival')`,
      `${last}; alter schema old rename to app`,
    ]) {
      await db.sourceClient.query(one);
    }
    expect((await drainWithCopies(db, migration, selection)).join()).toContain('app.t,');
    const sql = /* sql */ `select id, v from app.t order by id`;
    expect((await db.targetClient.query(sql)).rows).toEqual(
      (await db.sourceClient.query(sql)).rows,
    );
  }
});

test('the final check of a cutover finds tables whose schema had another name since the drain, and no others', async () => {
  for (const include of [undefined, ['app.*']]) {
    await using db = await freshPair();
    const selection = include ? { include, exclude: [] } : EVERYTHING;
    const migration = await startMigration(db, APP, selection);
    await drainWithCopies(db, migration, selection);
    const parsed = parseInput({
      ...{ source: db.source, target: db.target },
      ...(include && { tables: { include } }),
    });
    if (!parsed.ok) throw new Error(parsed.message);
    const mark = await writeEndMark(migration);
    await db.sourceClient.query(`grant usage on schema app to public`);
    await db.sourceClient.query(`create schema scratch`);
    expect(await laterChanges(migration, parsed.input, mark)).toEqual([]);
    await db.sourceClient.query(`alter schema app rename to away`);
    await db.sourceClient.query(`delete from away.t where id = 3`);
    await db.sourceClient.query(`alter schema away rename to app`);
    expect(await laterChanges(migration, parsed.input, mark)).toEqual(['app.t']);
  }
});

test('GRANTs, REVOKEs and owner changes of schemas copy nothing, also with many schemas that have the same tables', async () => {
  await using db = await freshPair();
  const selection = { include: ['app.*', 'rival.*'], exclude: [] };
  const migration = await startMigration(db, `${APP}; ${RIVAL}`, selection);
  await drainWithCopies(db, migration, selection);
  for (const one of [
    `grant usage on schema app, rival to pg_monitor`,
    `grant usage on schema app to pg_monitor`,
    `revoke usage on schema app, rival from pg_monitor`,
    `alter schema app owner to pg_monitor; alter schema app owner to current_user`,
    `create schema more; drop schema more`,
  ]) {
    await db.sourceClient.query(`update app.t set v = 'before'; update rival.t set v = 'before'`);
    for (const statement of one.split('; ')) await db.sourceClient.query(statement);
    await db.sourceClient.query(`update app.t set v = 'after'; update rival.t set v = 'after'`);
    expect(await drainWithCopies(db, migration, selection)).toEqual([]);
  }
  await expectSame(db);
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
