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
  create table child (extra text) inherits (parent);
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
  insert into parent select i, 'parent' from generate_series(1, 50) i;
  insert into child select i, 'child', 'more' from generate_series(20, ${ROWS}) i;
  insert into part select i, i % 200, 'part ' || i from generate_series(1, ${ROWS}) i;
  insert into via select i, 1 + i % 2, 'via ' || i from generate_series(1, ${ROWS}) i;
  insert into tree select i, i % 10, 'tree ' || i from generate_series(1, ${ROWS}) i;
  insert into types select i, i / 3.0, i / 3.0, json_build_object('a', i), decode(md5(i::text), 'hex'), array['x', null, i::text],
    row(i, 'b')::pair, i, 'ok', to_tsvector('simple', 'word' || i), int4range(i, i + 5), '<a>1</a>', make_interval(days => i),
    timestamptz '2020-01-01' + i * interval '1 minute', 'text ' || i from generate_series(1, ${ROWS}) i;`;
const VIA = { include: ['*.*'], exclude: [], viaPartitionRoot: ['public.via', 'public.tree'] };

/** Tables with a key: the condition of the n-th row, and the name in a report. */
const KEYED: readonly { table: string; named: string; row: (n: number) => string; only?: true }[] =
  [
    { table: 'plain', named: 'plain', row: (n) => `id = ${1 + (n % ROWS)}` },
    { table: 'wide', named: 'wide', row: (n) => `id = ${1 + (n % WIDE_ROWS)}` },
    { table: 'composed', named: 'composed', row: (n) => `b = ${1 + (n % ROWS)}` },
    { table: 'parent', named: 'parent', row: (n) => `id = ${1 + (n % 50)}`, only: true },
    { table: 'part_low', named: 'part_low', row: (n) => `id = ${1 + (n % 99)}` },
    { table: 'part_high', named: 'part_high', row: (n) => `id = ${100 + (n % 99)}` },
    { table: 'via', named: 'via', row: (n) => `id = ${1 + (n % ROWS)}` },
    { table: 'tree', named: 'tree', row: (n) => `id = ${1 + (n % ROWS)}` },
    { table: 'types', named: 'types', row: (n) => `id = ${1 + (n % ROWS)}` },
  ];

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

/** Changes the target, verifies, and undoes the change. */
async function withChange<T>(
  statements: string,
  check: () => Promise<T>,
  undo: string,
): Promise<T> {
  const target = db.targetClient;
  await target.query(/* sql */ `set session_replication_role = replica; ${statements}`);
  try {
    return await check();
  } finally {
    await target.query(`${undo}`);
  }
}

/** Keeps a copy of the rows of a table, and puts it back. */
const keep = (table: string, only = false) => ({
  save: `create temp table kept as select * from ${only ? 'only ' : ''}${table};`,
  restore: `delete from ${only ? 'only ' : ''}${table}; insert into ${table} select * from kept; drop table kept`,
});

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

for (const { table, named, row, only = false } of KEYED) {
  test(`one changed byte, one missing row, one row too many and one swapped pair in ${table} are found, and nothing else (seed ${SEED})`, async () => {
    const random = randomOf(SEED + table.length * 31 + table.charCodeAt(0));
    const [a, b] = [random(1000), random(1000)];
    const column = table === 'composed' ? 'v' : table === 'types' ? 't' : 'v';
    const from = `${only ? 'only ' : ''}${table}`;
    const { save, restore } = keep(table, only);
    const changed =
      table === 'composed'
        ? `v + 0.0000001`
        : `overlay(v placing '~' from 2 for 1)`.replace(/v/, column);
    const cases: readonly [string, string, string, number][] = [
      ['different', `update ${from} set ${column} = ${changed} where ${row(a)}`, 'different', 1],
      ['missing', `delete from ${from} where ${row(a)}`, 'missing', 1],
      [
        'extra',
        `insert into ${table} select * from jsonb_populate_record(null::${table}, (select to_jsonb(t) from ${from} t where ${row(a)} limit 1) || '${table === 'composed' ? '{"b": 100000}' : '{"id": 100000}'}')`,
        'extra',
        1,
      ],
      [
        'swapped',
        `update ${from} t set ${column} = o.${column} from (select * from ${from} where ${row(a)} or ${row(a + 1 + (b % 7))}) o
          where (${row(a).replace(/\b(id|b) =/, 't.$1 =')} or ${row(a + 1 + (b % 7)).replace(/\b(id|b) =/, 't.$1 =')}) and (o.*) is distinct from (t.*)`,
        'different',
        2,
      ],
    ];
    for (const [what, statement, kind, keys] of cases) {
      if (what === 'extra' && table === 'types') continue;
      const { report, found } = await withChange(
        save + statement,
        () => verify(db, migration, input),
        restore,
      );
      expect(report.differing, `${what} in ${table}`).toEqual([
        { table: `public.${named}`, keys, more: false },
      ]);
      expect(report.result).toBe('different');
      expect(found[named]?.map((one) => one.kind)).toEqual(Array(keys).fill(kind));
    }
  });
}

test('in a table without a key a duplicate, a lost duplicate and a changed row are found by counts', async () => {
  const { save, restore } = keep('keyless');
  const one = `ctid = (select ctid from keyless where a = 7 limit 1)`;
  const kinds = async (statement: string) => {
    const { report, found } = await withChange(
      save + statement,
      () => verify(db, migration, input),
      restore,
    );
    expect(report.differing).toHaveLength(1);
    return found['keyless']?.map(({ kind, key, sourceRows, targetRows }) => ({
      ...{ kind, key, by: targetRows - sourceRows },
    }));
  };
  const none = { key: null };
  expect(await kinds(`insert into keyless select * from keyless where ${one}`)).toEqual([
    { ...none, kind: 'extra', by: 1 },
  ]);
  expect(await kinds(`delete from keyless where ${one}`)).toEqual([
    { ...none, kind: 'missing', by: -1 },
  ]);
  const both = await kinds(`update keyless set b = b || ' ' where ${one}`);
  expect(both?.map(({ kind }) => kind).sort()).toEqual(['extra', 'missing']);
});

/** Values that are equal for an operator, a hash or a parser, and are not the same. */
const ALIKE: Readonly<Record<string, readonly [string, string]>> = {
  numeric: [`n = 1.0`, `n = 1.00`],
  float8: [`f = '-0'::float8`, `f = '0'::float8`],
  json: [`j = '{"a": 1}'`, `j = '{"a":1}'`],
  interval: [`i = '1 day'`, `i = '24:00'`],
  array: [`ar = '{a}'`, `ar = '[0:0]={a}'`],
  empty: [`t = null`, `t = ''`],
  composite: [`c = row(null, null)::pair`, `c = null`],
  bytea: [`b = '\\x00'`, `b = '\\x0000'`],
  tsvector: [`ts = 'a:1A'`, `ts = 'a:1B'`],
  xml: [`x = '<a/>'`, `x = '<a></a>'`],
  domain: [`d = 1`, `d = 2`],
  enum: [`m = 'sad'`, `m = 'happy'`],
  range: [`r = 'empty'`, `r = null`],
};

test('values that compare as equal and are not the same are found, every one', async () => {
  for (const [type, [here, there]] of Object.entries(ALIKE)) {
    const { save, restore } = keep('types');
    await db.sourceClient.query(
      `create temp table kept as select * from types; update types set ${here} where id = 5`,
    );
    const { report, found } = await withChange(
      `${save}update types set ${there} where id = 5`,
      () => verify(db, migration, input),
      restore,
    );
    await db.sourceClient.query(restore);
    expect(report.differing, type).toEqual([{ table: 'public.types', keys: 1, more: false }]);
    expect(found['types'], type).toMatchObject([{ key: { id: '5' }, kind: 'different' }]);
  }
});

test('NaN, infinities and extremes are equal to themselves', async () => {
  const set = /* sql */ `update types set n = 'NaN', f = 'NaN', z = 'infinity', r = '(,)', i = '-178000000 years' where id = 9;
    update types set n = 'Infinity', f = '-Infinity', z = '-infinity', j = '{"a" : [1,  2], "a": null}', ar = '{}' where id = 10`;
  const { save, restore } = keep('types');
  await db.sourceClient.query(`create temp table kept as select * from types; ${set}`);
  const { report } = await withChange(save + set, () => verify(db, migration, input), restore);
  await db.sourceClient.query(restore);
  expect(report.result).toBe('equal');
});

test('a difference that is gone at the second anchor is not reported', async () => {
  const states = statesOf(db);
  const { targetClient: target } = db;
  const before = await target.query<{ v: string }>(`select v from plain where id = 3`);
  await target.query(`update plain set v = 'foreign' where id = 3`);
  states.onHold = async (count) => {
    // The first hold sums up and the second names keys.
    if (count === 2)
      await target.query(`update plain set v = $1 where id = 3`, [before.rows[0]?.v]);
  };
  const { report, work } = await verify(db, migration, input, states);
  expect(states.held.length).toBeGreaterThanOrEqual(3);
  expect(report).toMatchObject({ result: 'equal', differing: [] });
  expect(work.warnings).toContain('rows differed at one anchor and not at the next');
});

test('no more than 1,000 keys of a table are stored, and all are counted', async () => {
  const { save, restore } = keep('wide');
  const { report, found } = await withChange(
    `${save}update wide set v = v || '!' where id > 500`,
    () => verify(db, migration, input),
    restore,
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
  const { save, restore } = keep('plain');
  await db.targetClient.query(`create temp table before as select 1`);
  const { report, work } = await withChange(
    `${save}insert into plain values (4711, ${pg.escapeLiteral(secret)})`,
    () => verify(db, migration, input),
    restore,
  );
  expect(report.result).toBe('different');
  const said = JSON.stringify([report, work.beats, work.warnings]);
  expect(said).not.toContain('secret');
  expect(said).not.toContain('4711');
});
