/**
 * What stored values of an enum or composite mean: `ALTER TYPE` touches no table, and each test ends with an exact comparison. The
 * row in `pg_enum` distinguishes a label from another one of the same name.
 */
import { expect, test } from 'vitest';
import { resync, drainWithCopies, failureOf } from '../../support/resync.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import {
  drain,
  endMark,
  expectSame,
  OPTIONS,
  startMigration,
  testWork,
  untilStreaming,
} from '../../support/stream.ts';
import { parseInput } from '../../../contract/input.ts';
import { writeEndMark } from '../../../postgres/stream/end-mark.ts';
import { laterChanges } from '../../../postgres/cutover/later-changes.ts';
import { streamChanges } from '../../support/lease.ts';

/** Renames labels or attributes of `state` crosswise. */
const SWAP = /* sql */ `alter type state rename value 'open' to 'tmp'; alter type state rename value 'closed' to 'open';
  alter type state rename value 'tmp' to 'closed'`;
const STATE = /* sql */ `create type state as enum ('open', 'closed');`;
const ROWS = /* sql */ `select i, case when i % 2 = 0 then 'open' else 'closed' end::state from generate_series(1, 40) i`;

const USES: readonly (readonly [string, string])[] = [
  ['a column', /* sql */ `create table t (id int primary key, s state); insert into t ${ROWS}`],
  [
    'a key',
    /* sql */ `create table t (s state, id int, primary key (s, id)); insert into t select s, i from (${ROWS}) r (i, s)`,
  ],
  [
    'an array of composites',
    /* sql */ `create type pair as (n int, s state);
      create table t (id int primary key, p pair[]); insert into t select i, array[row(i, s)::pair] from (${ROWS}) r (i, s)`,
  ],
  [
    'a domain over an array',
    /* sql */ `create domain states as state[] check (cardinality(value) > 0);
      create table t (id int primary key, s states); insert into t select i, array[s] from (${ROWS}) r (i, s)`,
  ],
  [
    'a row of another table',
    /* sql */ `create table inner_row (n int primary key, s state); create table t (id int primary key, l inner_row);
      insert into t select i, row(i, s)::inner_row from (${ROWS}) r (i, s)`,
  ],
  [
    'a table without a key',
    /* sql */ `create table t (id int, s state); alter table t replica identity full; insert into t ${ROWS}`,
  ],
];

test.each(USES)(
  'labels that swap names are found in %s, and its rows are resynced',
  async (_, ddl) => {
    await using db = await freshPair();
    const migration = await startMigration(db, `${STATE} ${ddl}`);
    await drain(db, migration);
    await db.sourceClient.query(SWAP);
    await db.sourceClient.query(/* sql */ `delete from t where id = 1`);
    const copied = (await drainWithCopies(db, migration)).join('; ');
    expect(copied).toMatch(
      /public\.(t|t_open) uses public\.state, whose labels were renamed on the source/,
    );
    await expectSame(db);
  },
);

const BOUND: typeof USES = [
  [
    'ranges and multiranges',
    /* sql */ `create type span as range (subtype = state, multirange_type_name = spans);
      create table t (id int primary key, s span, m spans);
      insert into t select i, span(s, s, '[]'), spans(span(s, s, '[]')) from (${ROWS}) r (i, s)`,
  ],
  [
    'a partition key',
    /* sql */ `create table t (id int, s state, primary key (id, s)) partition by list (s);
      create table t_open partition of t for values in ('open'); create table t_closed partition of t for values in ('closed');
      insert into t ${ROWS}`,
  ],
];

test.each(BOUND)(
  'labels that swap names in %s stop until the target swaps them, too, and then its rows are resynced',
  async (_, ddl) => {
    await using db = await freshPair();
    const migration = await startMigration(db, `${STATE} ${ddl}`);
    await drain(db, migration);
    await db.sourceClient.query(SWAP);
    await db.sourceClient.query(/* sql */ `delete from t where id = 1`);
    const failure = await failureOf(db, migration);
    expect(failure).toMatchObject({ code: 'SchemaDrift' });
    expect(failure?.message).toContain('rename value there as on the source');
    await db.targetClient.query(SWAP);
    expect((await drainWithCopies(db, migration)).join()).toContain(
      'labels were renamed on the source',
    );
    await expectSame(db);
  },
);

test('labels that swap names and swap back between two checks are found', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create table t (id int primary key, s state); insert into t ${ROWS}`,
  );
  await db.sourceClient.query(SWAP);
  await db.sourceClient.query(/* sql */ `insert into t values (100, 'open')`);
  await db.sourceClient.query(SWAP);
  await db.sourceClient.query(/* sql */ `insert into t values (101, 'open')`);
  expect((await drainWithCopies(db, migration)).join()).toContain('resynced: public.t ');
  await expectSame(db);
});

test.each([
  ['in a separate transaction', `${SWAP}; insert into t values (100, 'open')`],
  [
    'in the transaction of the change',
    `begin; ${SWAP}; insert into t values (100, 'open'); commit`,
  ],
  [
    'after the change, in its transaction',
    `begin; insert into t values (100, 'open'); ${SWAP}; commit`,
  ],
])(
  'labels that swap names in the middle of a lease, %s, are found by the check before the commit',
  async (_, sql) => {
    await using db = await freshPair();
    const migration = await startMigration(
      db,
      /* sql */ `${STATE} create table t (id int primary key, s state); insert into t ${ROWS}`,
    );
    const work = testWork();
    const lease = streamChanges(migration, OPTIONS, work).then(
      () => null,
      (error: unknown) => error,
    );
    await untilStreaming(db, migration);
    for (const one of sql.startsWith('begin') ? [sql] : sql.split(/;\s*(?=insert)/)) {
      await db.sourceClient.query(one);
    }
    expect(await lease).toMatchObject({ code: 'Resync' });
    const { rows } = await db.targetClient.query(/* sql */ `select id from t where id = 100`);
    expect(rows, 'nothing of it was committed').toEqual([]);
    await resync(db, migration);
    await drainWithCopies(db, migration);
    await expectSame(db);
  },
);

test('after a label is renamed, the rows on the target are exact, whether "rename value" or "add value" was run there', async () => {
  for (const cure of [`rename value 'closed' to 'done'`, `add value 'done'`]) {
    await using db = await freshPair();
    const migration = await startMigration(
      db,
      /* sql */ `${STATE} create table t (id int primary key, s state); insert into t ${ROWS}`,
    );
    await db.sourceClient.query(/* sql */ `alter type state rename value 'closed' to 'done'`);
    await db.sourceClient.query(/* sql */ `insert into t values (100, 'open')`);
    expect(await failureOf(db, migration)).toMatchObject({
      code: 'SchemaDrift',
      details: { table: 'public.t', column: 's' },
    });
    await db.targetClient.query(`alter type state ${cure}`);
    expect((await drainWithCopies(db, migration)).join()).toContain('resynced: public.t ');
    await expectSame(db);
  }
});

test('a label that was added while streaming and then renamed: rows that arrived under its first name are resynced', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create table t (id int primary key, s state); insert into t ${ROWS}`,
  );
  for (const client of [db.sourceClient, db.targetClient]) {
    await client.query(/* sql */ `alter type state add value 'late' before 'closed'`);
  }
  await db.sourceClient.query(/* sql */ `insert into t values (100, 'late')`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await db.sourceClient.query(/* sql */ `alter type state rename value 'late' to 'later'`);
  expect(await failureOf(db, migration)).toMatchObject({ code: 'SchemaDrift' });
  await db.targetClient.query(/* sql */ `alter type state add value 'later'`);
  expect((await drainWithCopies(db, migration)).join()).toContain('resynced: public.t ');
  await expectSame(db);
});

test('a label that was added, used and renamed between two checks causes a resync of the table', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create table t (id int primary key, s state); insert into t ${ROWS}`,
  );
  await db.sourceClient.query(/* sql */ `alter type state add value 'first'`);
  await db.sourceClient.query(/* sql */ `insert into t values (100, 'first')`);
  await db.sourceClient.query(/* sql */ `alter type state rename value 'first' to 'second'`);
  await db.targetClient.query(/* sql */ `alter type state add value 'second'`);
  expect((await drainWithCopies(db, migration)).join()).toContain('resynced: public.t ');
  await expectSame(db);
});

test('a label that was added, used and renamed on the source, and by the same statements on the target before the stream got there, causes a resync', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create table t (id int primary key, s state, many state[]); insert into t ${ROWS};
      create table other (id int primary key, s state)`,
  );
  const use = /* sql */ `insert into t values (100, 'first'), (101, 'open'); update t set many = array['first', 'open']::state[] where id < 3`;
  await db.sourceClient.query(/* sql */ `alter type state add value 'first'`);
  await db.sourceClient.query(use);
  await db.sourceClient.query(/* sql */ `alter type state rename value 'first' to 'second'`);
  await db.targetClient.query(/* sql */ `alter type state add value 'first'`);
  await db.targetClient.query(/* sql */ `alter type state rename value 'first' to 'second'`);
  await db.sourceClient.query(/* sql */ `insert into other values (1, 'second')`);
  const copied = (await drainWithCopies(db, migration)).join();
  expect(copied).toMatch(/resynced: public\.t has a change at .* with a label/);
  expect(copied).not.toContain('public.other');
  await expectSame(db);
});

test('rows from before an attribute was added arrive on a target that already has the attribute', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create type pair as (x int, y int); create table t (id int primary key, p pair, ps pair[])`,
  );
  await db.sourceClient.query(
    /* sql */ `insert into t values (1, row(1, 2), array[row(3, 4)::pair])`,
  );
  for (const client of [db.sourceClient, db.targetClient]) {
    await client.query(/* sql */ `alter type pair add attribute z int`);
  }
  await db.sourceClient.query(/* sql */ `insert into t values (2, row(1, 2, 3), null)`);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('labels that are renamed only on the target are found, and its rows resynced', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create table t (id int primary key, s state); insert into t ${ROWS}`,
  );
  await drain(db, migration);
  await db.targetClient.query(SWAP);
  expect((await drainWithCopies(db, migration)).join()).toContain(
    'labels were renamed on the target',
  );
  await expectSame(db);
});

test('an attribute dropped and another one added, on one side or on both, causes a resync', async () => {
  const other = /* sql */ `alter type pair drop attribute b; alter type pair add attribute b text`;
  for (const sides of [['source'], ['source', 'target'], ['target']] as const) {
    await using db = await freshPair();
    const migration = await startMigration(
      db,
      /* sql */ `create type pair as (a int, b text); create table t (id int primary key, p pair);
        insert into t select i, row(i, 'row')::pair from generate_series(1, 30) i`,
    );
    await db.sourceClient.query(/* sql */ `insert into t values (100, '(1,before)')`);
    for (const side of sides) await clientOf(db, side).query(other);
    await db.sourceClient.query(/* sql */ `insert into t values (101, '(1,after)')`);
    expect((await drainWithCopies(db, migration)).join()).toContain(
      'parts were dropped or replaced',
    );
    await expectSame(db);
  }
});

function clientOf(db: FreshPair, side: 'source' | 'target') {
  return side === 'source' ? db.sourceClient : db.targetClient;
}

test('inside a composite the type itself counts, not another one that takes its name', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create type pair as (n int, s state); create table t (id int primary key, p pair);
      insert into t select i, row(i, s)::pair from (${ROWS}) r (i, s)`,
  );
  await db.sourceClient
    .query(/* sql */ `alter type state rename to older; create type state as enum ('open', 'closed');
    alter type older rename value 'open' to 'ajar'`);
  expect((await failureOf(db, migration))?.message).toContain(
    'public.t.p uses public.older, which lacks labels on the target',
  );
  await db.targetClient.query(/* sql */ `alter type state rename value 'open' to 'ajar'`);
  expect((await drainWithCopies(db, migration)).join()).toContain('resynced: public.t ');
  await expectSame(db);
});

test('a renamed column type, with another type of its name in another schema or in its place, stops until the target has the same', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create schema hall; ${STATE} create type hall.state as enum ('closed', 'open');
      create table t (id int primary key, s state); insert into t ${ROWS}`,
  );
  const renamed = /* sql */ `alter type public.state rename to older; alter type hall.state set schema public`;
  await db.sourceClient.query(renamed);
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'SchemaDrift',
    details: { table: 'public.t', column: 's' },
  });
  await db.targetClient.query(renamed);
  await db.sourceClient.query(/* sql */ `update t set s = 'closed' where id < 10`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  await expectSame(db);
});

test('ranges over an enum whose labels have another order on the target are refused; a plain column is not', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create type span as range (subtype = state); create table plain (id int primary key, s state);
      create table t (id int primary key, r span); insert into t values (1, '[open,closed]'); insert into plain ${ROWS}`,
  );
  await db.sourceClient.query(/* sql */ `alter type state add value 'new' before 'open'`);
  await db.targetClient.query(/* sql */ `alter type state add value 'new'`);
  const failure = await failureOf(db, migration);
  expect(failure?.message).toContain(
    'public.t.r uses public.state, whose labels are in a different order',
  );
  expect(failure?.message).not.toContain('public.plain');
});

test('a domain that loosens its check on the source stops at the first value that the target refuses', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create function small(int) returns boolean immutable language sql as 'select $1 < 10';
      create domain digit as int constraint is_small check (small(value)); create table t (id int primary key, d digit);
      insert into t values (1, 1)`,
  );
  const looser = /* sql */ `create or replace function public.small(int) returns boolean immutable language sql as 'select $1 < 100'`;
  await db.sourceClient.query(looser);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 50)`);
  expect(await failureOf(db, migration)).toMatchObject({
    code: 'ChangeFailed',
    details: { sqlstate: '23514' },
  });
  await db.targetClient.query(looser);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('labels and attributes added on both sides, in any order, cause no resync', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create type pair as (n int, s state); create table t (id int primary key, p pair);
      insert into t select i, row(i, s)::pair from (${ROWS}) r (i, s)`,
  );
  const added = [
    /* sql */ `alter type state add value 'ajar' after 'open'`,
    /* sql */ `alter type state add value 'shut' before 'open'`,
    /* sql */ `alter type pair add attribute more state`,
  ];
  for (const client of [db.targetClient, db.sourceClient]) {
    for (const sql of added) await client.query(sql);
  }
  await db.sourceClient.query(/* sql */ `insert into t values (100, '(1,ajar,shut)')`);
  expect(await drainWithCopies(db, migration)).toEqual([]);
  // A second lease starts with the same state.
  await drain(db, migration, { until: await endMark(db) });
  await expectSame(db);
});

test('a table partitioned by the hash of an enum that is created while streaming is refused before its copy', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create table t (id int primary key, s state); insert into t ${ROWS}`,
  );
  const later = (key: string): string => /* sql */ `
    create table public.later (s state primary key) partition by ${key};
    create table public.later_1 partition of public.later ${key.startsWith('list') ? 'default' : 'for values with (modulus 1, remainder 0)'};`;
  for (const client of [db.sourceClient, db.targetClient]) await client.query(later('hash (s)'));
  await db.sourceClient.query(/* sql */ `insert into later values ('open')`);
  const failure = await failureOf(db, migration);
  expect(failure).toMatchObject({ code: 'SchemaDrift', details: { table: 'public.later' } });
  expect(failure?.message).toContain('hash of public.state');
  for (const client of [db.sourceClient, db.targetClient]) {
    await client.query(`drop table public.later; ${later('list (s)')}`);
  }
  await db.sourceClient.query(/* sql */ `insert into later values ('closed')`);
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('a row that the bounds of the target’s partition reject is distinguished from a check violation', async () => {
  await using db = await freshPair();
  const half = (by: number): string =>
    /* sql */ `create or replace function public.part(int) returns int immutable language sql as 'select $1 / ${by}'`;
  const migration = await startMigration(
    db,
    /* sql */ `${half(10)}; create table t (id int) partition by list (public.part(id));
      create table t_0 partition of t for values in (0); create table t_rest partition of t default;
      alter table t_0 replica identity full; alter table t_rest replica identity full;
      insert into t select generate_series(1, 30)`,
  );
  await db.sourceClient.query(half(100));
  const again = await connectTo(db.source);
  await again.query(/* sql */ `insert into t values (55)`);
  await again.end();
  const failure = await failureOf(db, migration);
  expect(failure).toMatchObject({
    code: 'ChangeFailed',
    details: { table: 'public.t_0', sqlstate: '23514' },
  });
  expect(failure?.message).toContain('the partition bounds on the target reject it');
  await db.targetClient.query(half(100));
  await drainWithCopies(db, migration);
  await expectSame(db);
});

test('the final check of a cutover finds labels that were renamed and attributes that were dropped since the drain', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${STATE} create type pair as (x int, y int); create table plain (id int primary key, s state);
      create table nested (id int primary key, s state[]); create table composed (id int primary key, p pair);
      insert into plain ${ROWS}; insert into nested values (1, '{open}'); insert into composed values (1, row(1, 2))`,
  );
  await drainWithCopies(db, migration);
  const parsed = parseInput({ source: db.source, target: db.target });
  if (!parsed.ok) throw new Error(parsed.message);
  const mark = await writeEndMark(migration);
  const check = () => laterChanges(migration, parsed.input, mark);
  // An added label or attribute changes no row.
  await db.sourceClient.query(/* sql */ `alter type pair add attribute z int`);
  await db.sourceClient.query(/* sql */ `alter type state add value 'late'`);
  expect(await check()).toEqual([]);
  await db.sourceClient.query(SWAP);
  expect(await check()).toEqual(['public.nested', 'public.plain']);
  await db.sourceClient.query(/* sql */ `alter type pair drop attribute y`);
  expect(await check()).toEqual(['public.composed', 'public.nested', 'public.plain']);
});
