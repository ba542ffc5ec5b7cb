/**
 * Tables whose schema temporarily had another name: nothing in their own rows of the catalog shows it, only the row of the schema and
 * the names under which changes were sent (drift/renamed-schema-change.ts).
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
const APP = /* sql */ `create schema app;
  create table app.t (id int primary key, v text); insert into app.t select i, 'copied' from generate_series(1, 20) i;
  create table app.other (id int primary key, v text); insert into app.other select i, 'other' from generate_series(1, 20) i;`;

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
  const sql = /* sql */ `insert into app.t select max(id) + 1, 'new' from app.t`;
  const insert = () => db.sourceClient.query(sql);
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

test('a schema that is dropped makes no change of another one doubtful, unless it had a table of that name when a lease began', async () => {
  await using db = await freshPair();
  const selection = { include: ['app.*'], exclude: [] };
  const migration = await startMigration(db, APP, selection);
  const drained = () => drainWithCopies(db, migration, selection);
  // As an earlier version stored it, without tables.
  await db.targetClient.query(/* sql */ `
    update walferry.migration set source_schemas = (select jsonb_agg(one - 3) from jsonb_array_elements(source_schemas) one)`);
  // The second time the GRANT changes no privilege, and nothing says why the schema was written.
  for (const table of [`create table more.u (id int primary key)`, `select 1`]) {
    await db.sourceClient.query(`create schema more; ${table}`);
    expect(await drained()).toEqual([]);
    await db.sourceClient.query(`update app.t set v = v || '.'`);
    await db.sourceClient.query(`drop schema more cascade`);
    await db.sourceClient.query(`grant usage on schema app to pg_monitor`);
    expect(await drained()).toEqual([]);
  }
  await db.sourceClient.query(`create schema more`);
  expect(await drained()).toEqual([]);
  // Writes no row of a schema.
  await db.sourceClient.query(`create table more.t (id int primary key, v text)`);
  expect(await drained()).toEqual([]);
  for (const one of [
    `alter schema app rename to old; alter schema more rename to app`,
    `insert into app.t values (80, 'of more')`,
    `drop schema app cascade; alter schema old rename to app`,
  ]) {
    await db.sourceClient.query(one);
  }
  expect((await drained()).join()).toContain('app.t,');
  const sql = /* sql */ `select id, v from app.t order by id`;
  expect((await db.targetClient.query(sql)).rows).toEqual((await db.sourceClient.query(sql)).rows);
});
