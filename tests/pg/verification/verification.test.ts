/**
 * Comparing every row: one injected difference of each kind, at a random place of a random table, is found each time and nothing
 * else is; equal tables are never reported.
 */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { statesOf } from '../../support/held-states.ts';
import { readyMigration, verify } from '../../support/verifying.ts';

const SEED = Number(process.env['WALFERRY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Small and repeatable. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const ROWS = 400;
/** Large enough for several pieces of 1 MiB on each side. */
const WIDE_ROWS = 3_000;

const COMMON = /* sql */ `
  create type mood as enum ('sad', 'ok', 'happy');
  create type pair as (a int, b text);
  create domain positive as int check (value > 0);
  create table plain (id int primary key, v text);
  create table wide (id int primary key, filler text, v text);
  create table keyless (a int, b text);
  create table composed (a text collate "C", b int, v numeric, primary key (b, a));
  create table generated (id int generated always as identity primary key, n int, twice int generated always as (n * 2) stored);
  create table parent (id int primary key, v text);
  create table child (extra text, primary key (id)) inherits (parent);
  create table part (id int, k int, v text, primary key (id, k)) partition by range (k);
  create table part_low partition of part for values from (0) to (100);
  create table part_high (v text, k int not null, id int not null);
  alter table part attach partition part_high for values from (100) to (1000);
  create table types (id int primary key, n numeric, f float8, j json, b bytea, ar text[], c pair, d positive, m mood,
    ts tsvector, r int4range, x xml, i interval, z timestamptz, t text collate "und-x-icu");`;
const VIA_SOURCE = /* sql */ `
  create table via (id int, k int, v text, primary key (id, k)) partition by list (k);
  create table via_1 partition of via for values in (1);
  create table via_2 partition of via for values in (2);
  create table tree (id int, k int, v text, primary key (id, k)) partition by range (k);
  create table tree_all partition of tree for values from (0) to (10);`;
const VIA_TARGET = /* sql */ `
  create table via (v text, k int, id int, primary key (id, k));
  create table tree (id int, k int, v text, primary key (id, k)) partition by hash (id);
  create table tree_0 partition of tree for values with (modulus 2, remainder 0);
  create table tree_1 (k int not null, v text, id int not null);
  alter table tree attach partition tree_1 for values with (modulus 2, remainder 1);`;
const FILL = /* sql */ `
  insert into plain select i, 'value ' || i from generate_series(1, ${ROWS}) i;
  insert into wide select i, repeat(md5(i::text), 30), 'v' || i from generate_series(1, ${WIDE_ROWS}) i;
  insert into keyless select i % 50, 'value ' || i % 100 from generate_series(1, ${ROWS}) i;
  insert into composed select 'key ' || i % 20, i, i / 7.0 from generate_series(1, ${ROWS}) i;
  insert into generated (n) select i from generate_series(1, ${ROWS}) i;
  insert into parent select i, 'parent ' || i from generate_series(1, 50) i;
  insert into child select i, 'child ' || i, 'more' from generate_series(20, ${ROWS}) i;
  insert into part select i, i % 200, 'part ' || i from generate_series(1, ${ROWS}) i;
  insert into via select i, 1 + i % 2, 'via ' || i from generate_series(1, ${ROWS}) i;
  insert into tree select i, i % 10, 'tree ' || i from generate_series(1, ${ROWS}) i;
  insert into types select i, i / 3.0, i / 3.0, json_build_object('a', i), decode(md5(i::text), 'hex'), array['x', null, i::text],
    row(i, 'b')::pair, i, 'ok', to_tsvector('simple', 'word' || i), int4range(i, i + 5), '<a>1</a>', make_interval(days => i),
    timestamptz '2020-01-01' + i * interval '1 minute', 'text ' || i from generate_series(1, ${ROWS}) i;`;
const VIA = { include: ['*.*'], exclude: [], viaPartitionRoot: ['public.via', 'public.tree'] };

interface Shaped {
  /** On the target. */
  readonly table: string;
  /** The condition on the n-th row; rows of the table are numbered from 1. */
  readonly row: (n: number) => string;
  /** A column, and the same with one byte or digit changed. */
  readonly column: string;
  readonly changed: string;
  /** Changes a copy of a row to one that the table does not have. */
  readonly other: string;
  readonly only?: true;
  /** Columns that can be inserted; unset: all. */
  readonly columns?: string;
}

const byId = (first: number, rows: number) => (n: number) => `id = ${first + (n % rows)}`;
const TEXT = { column: 'v', changed: `overlay(v placing '~' from 2 for 1)`, other: 'id = 100000' };
const SHAPES: readonly Shaped[] = [
  { table: 'plain', row: byId(1, ROWS), ...TEXT },
  { table: 'wide', row: byId(1, WIDE_ROWS), ...TEXT },
  {
    ...{ table: 'composed', row: (n) => `b = ${1 + (n % ROWS)}` },
    ...{ column: 'v', changed: 'v + 0.0000001', other: 'b = 100000' },
  },
  {
    ...{ table: 'generated', row: byId(1, ROWS), column: 'n', changed: 'n # 1' },
    ...{ other: 'id = 100000', columns: 'id, n' },
  },
  { table: 'parent', row: byId(1, 50), ...TEXT, only: true },
  { table: 'child', row: byId(20, ROWS - 20), ...TEXT },
  { table: 'part_low', row: byId(1, 99), ...TEXT },
  { table: 'part_high', row: byId(100, 99), ...TEXT },
  { table: 'via', row: byId(1, ROWS), ...TEXT },
  { table: 'tree', row: byId(1, ROWS), ...TEXT },
  { table: 'types', row: byId(1, ROWS), ...TEXT, column: 't', changed: `t || ' '` },
];

/** What is done to a shape at two of its rows, and how it must be reported. */
const INJECTIONS: Readonly<
  Record<
    string,
    { readonly change: (shape: Shaped, a: string, b: string) => string; kinds: string[] }
  >
> = {
  'one changed byte': {
    change: ({ column, changed, ...shape }, a) =>
      `update ${from(shape)} set ${column} = ${changed} where ${a}`,
    kinds: ['different'],
  },
  'one missing row': {
    change: (shape, a) => `delete from ${from(shape)} where ${a}`,
    kinds: ['missing'],
  },
  'one row too many': {
    change: ({ other, columns = '*', ...shape }, a) => /* sql */ `
      create temp table other as select * from ${from(shape)} where ${a};
      update other set ${other};
      insert into ${shape.table} ${columns === '*' ? '' : `(${columns}) overriding system value`} select ${columns} from other;
      drop table other`,
    kinds: ['extra'],
  },
  'one swapped pair': {
    change: ({ column, ...shape }, a, b) => /* sql */ `
      create temp table pair as select (select ${column} from ${from(shape)} where ${a}) as a, (select ${column} from ${from(shape)} where ${b}) as b;
      update ${from(shape)} set ${column} = case when ${a} then (select b from pair) else (select a from pair) end where ${a} or ${b};
      drop table pair`,
    kinds: ['different', 'different'],
  },
};

function from({ table, only }: Pick<Shaped, 'table' | 'only'>): string {
  return only ? `only ${table}` : table;
}

let db: FreshPair;
let migration: Migration;
const input = { tables: VIA };

beforeAll(async () => {
  db = await freshPair();
  migration = await readyMigration(
    db,
    `${COMMON}${VIA_SOURCE}${FILL}`,
    VIA,
    `${COMMON}${VIA_TARGET}`,
  );
});

afterAll(async () => {
  await db[Symbol.asyncDispose]();
});

/** Runs a check with changes on the target (and others on the source), and undoes them. */
async function withChange<T>(
  statements: string,
  check: () => Promise<T>,
  shapes: readonly Pick<Shaped, 'table' | 'only' | 'columns'>[],
  onSource: string | null = null,
): Promise<T> {
  const sides = onSource === null ? [db.targetClient] : [db.targetClient, db.sourceClient];
  const kept = shapes.map((shape, at) => ({ ...shape, kept: `kept_${at}` }));
  for (const client of sides) {
    await client.query(`set session_replication_role = replica`);
    for (const one of kept) {
      await client.query(`create temp table ${one.kept} as select * from ${from(one)}`);
    }
  }
  try {
    await db.targetClient.query(statements);
    if (onSource !== null) await db.sourceClient.query(onSource);
    return await check();
  } finally {
    for (const client of sides) {
      for (const { columns = '*', ...one } of kept) {
        const list = columns === '*' ? '' : `(${columns}) overriding system value`;
        await client.query(
          `delete from ${from(one)}; insert into ${one.table} ${list} select ${columns} from ${one.kept}; drop table ${one.kept}`,
        );
      }
    }
  }
}

test('equal tables of every shape are equal: keys, none, inheritance, partitions, partition roots, generated columns', async () => {
  const { report, found } = await verify(db, migration, input);
  expect({ ...report, found }).toMatchObject({
    result: 'equal',
    ...{ differing: [], notCompared: [], found: {} },
  });
  expect(report.tables).toBe(12);
  expect(report.rows).toBe(
    // parent and child are read apart.
    ROWS * 8 + WIDE_ROWS + 50 + (ROWS - 19),
  );
  const { rows } = await db.targetClient.query(/* sql */ `select from walferry.verification_sum`);
  expect(rows).toEqual([]);
});

for (const [what, { change, kinds }] of Object.entries(INJECTIONS)) {
  test(`${what} is found in a table of every shape at random places, and nothing else (seed ${SEED})`, async () => {
    const random = randomOf(SEED + what.length);
    for (let round = 0; round < 2; round += 1) {
      const statements = SHAPES.map((shape) => {
        const n = random(10_000);
        return change(shape, shape.row(n), shape.row(n + 1 + random(40)));
      });
      const { report, found } = await withChange(
        statements.join(';'),
        () => verify(db, migration, input),
        SHAPES,
      );
      expect(report.result).toBe('different');
      expect(sorted(report.differing.map(({ table, keys }) => [table, keys]))).toEqual(
        sorted(SHAPES.map(({ table }) => [`public.${table}`, kinds.length])),
      );
      for (const { table } of SHAPES) {
        expect(
          found[table]?.map(({ kind }) => kind),
          table,
        ).toEqual(kinds);
      }
    }
  });
}

const sorted = (names: readonly (readonly [string, number])[]) =>
  [...names].sort(([a], [b]) => (a < b ? -1 : 1));

test('in a table without a key a duplicate, a lost duplicate and a changed row are found by counts', async () => {
  const keyless = [{ table: 'keyless' }];
  const one = (a: number) => `ctid = (select ctid from keyless where a = ${a} limit 1)`;
  const { report, found } = await withChange(
    `insert into keyless select * from keyless where ${one(7)};
     delete from keyless where ${one(8)};
     update keyless set b = b || ' ' where ${one(9)}`,
    () => verify(db, migration, input),
    keyless,
  );
  expect(report.differing).toEqual([{ table: 'public.keyless', keys: 4, more: false }]);
  const by = found['keyless']?.map(({ kind, key, sourceRows, targetRows }) => ({
    ...{ kind, key, by: targetRows - sourceRows },
  }));
  const none = { key: null };
  const [extra, missing] = [
    { ...none, kind: 'extra', by: 1 },
    { ...none, kind: 'missing', by: -1 },
  ];
  const order = (a: { kind: string }, b: { kind: string }) => (a.kind < b.kind ? -1 : 1);
  expect(by?.sort(order)).toEqual([extra, extra, missing, missing]);
});

/** Values that are equal for an operator, a hash or a parser, and are not the same. */
const ALIKE: readonly (readonly [here: string, there: string])[] = [
  [`n = 1.0`, `n = 1.00`],
  [`f = '-0'::float8`, `f = '0'::float8`],
  [`j = '{"a": 1}'`, `j = '{"a":1}'`],
  [`i = '1 day'`, `i = '24:00'`],
  [`ar = '{a}'`, `ar = '[0:0]={a}'`],
  [`ar = '{NULL}'`, `ar = '{"NULL"}'`],
  [`t = null`, `t = ''`],
  [`t = 'a'`, `t = 'A'`],
  [`c = row(null, null)::pair`, `c = null`],
  [`b = '\\x00'`, `b = '\\x0000'`],
  [`ts = 'a:1A'`, `ts = 'a:1B'`],
  [`x = '<a/>'`, `x = '<a></a>'`],
  [`d = 1`, `d = 2`],
  [`m = 'sad'`, `m = 'happy'`],
  [`r = 'empty'`, `r = null`],
  [`r = '[1,)'`, `r = '(,1)'`],
  [`n = 'NaN'`, `n = null`],
];

test('values that compare as equal and are not the same are found, every one', async () => {
  const setAll = (side: 0 | 1) =>
    ALIKE.map((pair, at) => `update types set ${pair[side]} where id = ${at + 1}`).join(';');
  const { found } = await withChange(
    setAll(1),
    () => verify(db, migration, input),
    [{ table: 'types' }],
    setAll(0),
  );
  const ids = found['types']?.map(({ key }) => Number(key?.['id'])).sort((a, b) => a - b);
  expect(ids).toEqual(ALIKE.map((_, at) => at + 1));
});

test('NaN, infinities and extremes are equal to themselves', async () => {
  const set = /* sql */ `update types set n = 'NaN', f = 'NaN', z = 'infinity', r = '(,)', i = '-178000000 years' where id = 9;
    update types set n = 'Infinity', f = '-Infinity', z = '-infinity', j = '{"a" : [1,  2], "a": null}', ar = '{}' where id = 10`;
  const { report } = await withChange(
    set,
    () => verify(db, migration, input),
    [{ table: 'types' }],
    set,
  );
  expect(report.result).toBe('equal');
});

for (const [gone, when] of [
  [2, 'before its key is looked for'],
  [3, 'at the second anchor'],
] as const) {
  test(`a difference that is gone ${when} is not reported`, async () => {
    const states = statesOf(db);
    const { targetClient: target } = db;
    const before = await target.query<{ v: string }>(`select v from plain where id = 3`);
    await target.query(`update plain set v = 'foreign' where id = 3`);
    states.onHold = async (count) => {
      // A state shows what was there when it was taken: what is restored now is seen at the next.
      if (count !== gone - 1) return;
      await target.query(`update plain set v = $1 where id = 3`, [before.rows[0]?.v]);
    };
    const { report, work } = await verify(db, migration, input, states);
    expect(states.held).toHaveLength(gone);
    expect(report).toMatchObject({ result: 'equal', differing: [] });
    expect(work.warnings).toContain('rows differed at one anchor and not at the next');
  });
}

test('no more than 1,000 keys of a table are stored, and all are counted', async () => {
  const { report, found } = await withChange(
    `update wide set v = v || '!' where id > 500`,
    () => verify(db, migration, input),
    [{ table: 'wide' }],
  );
  expect(report.differing).toEqual([{ table: 'public.wide', keys: WIDE_ROWS - 500, more: true }]);
  expect(found['wide']).toHaveLength(1_000);
});

test('a table that is truncated on the source after the anchor is compared at the next one, without a false alarm', async () => {
  const states = statesOf(db);
  states.onHold = async (count) => {
    if (count !== 1) return;
    for (const client of [db.sourceClient, db.targetClient]) {
      await client.query(`truncate plain; insert into plain values (1, 'one')`);
    }
  };
  const { report } = await verify(db, migration, input, states);
  expect(report).toMatchObject({ result: 'equal', differing: [], notCompared: [] });
  expect(report.anchors).toBe(2);
});

test('a table that is not ready and a table that lacks a column are named, and the result says that it is incomplete', async () => {
  const target = db.targetClient;
  await target.query(
    `update walferry.relation set state = 'catching-up' where table_name = 'composed';
     alter table keyless rename b to other`,
  );
  const { report } = await verify(db, migration, input);
  await target.query(
    `update walferry.relation set state = 'ready' where table_name = 'composed';
     alter table keyless rename other to b`,
  );
  expect(report.result).toBe('incomplete');
  expect(report.notCompared).toEqual([
    'public.composed: public.composed is catching-up',
    'public.keyless: column b is missing on the target',
  ]);
});

test('no row value is in a report, a heartbeat or a warning', async () => {
  const secret = 'a secret value';
  const { report, work } = await withChange(
    `insert into plain values (4711, ${pg.escapeLiteral(secret)})`,
    () => verify(db, migration, input),
    [{ table: 'plain' }],
  );
  expect(report.result).toBe('different');
  const said = JSON.stringify([report, work.beats, work.warnings]);
  expect(said).not.toContain('secret');
  expect(said).not.toContain('4711');
});
