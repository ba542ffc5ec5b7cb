/**
 * Two ways lead to the target: rows as bytes, folded while they come, and change by change. The same changes over each of them leave
 * the same target, and what is ordinary takes the fast one.
 */
import { expect, test } from 'vitest';
import type { Migration } from '../../contract/migration.ts';
import type { StreamOptions } from '../../postgres/stream/changes.ts';
import { freshPair, type FreshPair } from '../support/database.ts';
import { drawn, type Pick } from '../support/random/pick.ts';
import { drain, expectSame, startMigration, testWork } from '../support/stream.ts';

/** Values of each type: the first is null. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  int2: [`'-32768'`, '7'],
  int8: ['9223372036854775807', '0'],
  'numeric(30,10)': ['12345678901234567890.1234567890', `'NaN'`, `'-0.0000000001'`],
  numeric: [`'Infinity'`, '1e-20', '100000000000000000000000000000'],
  float4: [`'NaN'`, '1.1754944e-38', `'-Infinity'`],
  float8: ['0.1', `'-0.0'`, '1e300', `'Infinity'`],
  money: [`'$12.34'`],
  text: [
    `''`,
    `'null'`,
    `E'tab\\t nl\\n cr\\r bs\\\\ "q" \\\\N \\\\.'`,
    `E'\\b\\f\\x01\\x7f'`,
    `'é€😀,{x}'`,
  ],
  'varchar(20)': [`'  spaces  '`],
  'char(6)': [`'a'`],
  bytea: [`''`, `'\\x00ff5c'`, `'\\x5c78'`],
  bool: ['true', 'false'],
  date: [`'infinity'`, `'4713-01-01 BC'`],
  timestamptz: [`'2026-01-31 23:59:59.999999+13'`, `'-infinity'`],
  timestamp: [`'1999-12-31 00:00:00.1'`],
  timetz: [`'24:00:00-15:59'`],
  interval: [`'1 year -2 days 03:04:05.006'`],
  uuid: [`'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`],
  json: [`'{"a":  1, "a": null}'`, `'"\\u0041"'`],
  jsonb: [`'{"b": [1, null, "x\\"y"], "a": {}}'`, `'1e2'`],
  inet: [`'10.0.0.1/8'`],
  macaddr8: [`'08:00:2b:01:02:03:04:05'`],
  point: [`'(1.5,-2)'`],
  polygon: [`'((0,0),(1,1),(1,0))'`],
  tsvector: [`'a:1A ''b c'':2'`],
  'bit varying': [`B'0101'`],
  int4range: [`'[1,5)'`, `'empty'`],
  nummultirange: [`'{[1,2),[3,4)}'`],
  pg_lsn: [`'16/B374D848'`],
  'text[]': [`'{}'`, `array['a,b', null, 'NULL', '"', '\\']`],
  'int[][]': [`'[0:1][2:3]={{1,2},{3,4}}'`],
  mood: [`'sad'`, `'so "so"'`],
  short: [`'abc'`],
  pair: [`row(1, 'x,y')`, `row(null, '"')`],
  'pair[]': [`array[row(1, 'a')::pair, null]`],
  xml: [`'<a b="c">d</a>'`],
};
const NAMES = Object.keys(TYPES);

const SCHEMA = /* sql */ `
  create type mood as enum ('sad', 'so "so"');
  create domain short as varchar(12) check (value <> 'never');
  create type pair as (a int, b text);
  create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  create table every (id int primary key, ${NAMES.map((type, i) => `c${i} ${type}`).join(', ')});
  create table line (w text, b text collate blind, a int, v text, g int generated always as (a * 2) stored,
    i bigint generated always as identity, primary key (b, a));
  alter table line alter column w set storage external;
  create table "Moving ""x""" ("K ""k""" text primary key, v int, u int unique);
  create table whole (k int, v text, n bigint);
  alter table whole replica identity full;
  create table bare (k int, v text);
  create table wide (id uuid primary key, body text, n int);
  alter table wide alter column body set storage external;`;

function value(random: Pick, type: string): string {
  const values = TYPES[type] ?? [];
  const text = random.below(4) === 0 ? 'null' : (values[random.below(values.length)] ?? 'null');
  return `${text}::${type}`;
}

/** Keys come from a small range, so that rows are met again and again. */
function statement(random: Pick, next: number): string {
  const id = random.below(60);
  const column = random.below(NAMES.length);
  const body = random.one(['null', `'b${next}'`, `repeat(md5('${next}'), 200)`]);
  switch (random.below(16)) {
    case 0:
    case 1:
      return `insert into every values (${id}, ${NAMES.map((type) => value(random, type)).join(', ')}) on conflict do nothing`;
    case 2:
      return `update every set c${column} = ${value(random, NAMES[column] ?? '')} where id = ${id}`;
    case 3:
      return `delete from every where id = ${id}`;
    case 4:
    case 5:
      return `insert into line (w, b, a, v) values (${body}, 'B${id % 5}', ${id % 9}, 'v') on conflict (b, a) do update set v = 'again'`;
    case 6:
      return `update line set ${random.one(['v', 'w'])} = ${body} where b = 'b${id % 5}'`;
    case 7:
      return `delete from line where a = ${id % 9} and b = 'b${id % 5}'`;
    case 8:
      return `insert into "Moving ""x""" values ('k ${id}', ${next}, ${next}) on conflict do nothing`;
    case 9:
      return `update "Moving ""x""" set "K ""k""" = 'm ${next}' where "K ""k""" = 'k ${id}'`;
    case 10:
      return `update "Moving ""x""" set u = -u where v % 7 = ${random.below(7)}`;
    case 11:
      return `insert into whole select ${id % 9}, 'x', ${random.one(['1', 'null'])} from generate_series(1, ${1 + random.below(2)})`;
    case 12:
      return random.one([
        `delete from whole where ctid = (select min(ctid) from whole where k = ${id % 9})`,
        `update whole set v = ${random.one(['null', `'y${next}'`])} where ctid = (select min(ctid) from whole where k = ${id % 9})`,
      ]);
    case 13:
      return `insert into bare values (${id}, ${body}), (${id}, null)`;
    case 14:
      return `insert into wide values (md5('${id}')::uuid, ${body}, ${next}) on conflict (id) do update set n = excluded.n`;
    default:
      return `update wide set body = ${body} where id = md5('${id}')::uuid`;
  }
}

async function transaction(db: FreshPair, random: Pick, next: () => number): Promise<void> {
  const statements = Array.from({ length: 1 + random.below(30) }, () => statement(random, next()));
  if (random.below(25) === 0) statements.splice(random.below(9), 0, 'truncate whole, line');
  if (random.below(25) === 0) statements.push('truncate "Moving ""x"""');
  await db.sourceClient.query(`begin; ${statements.join('; ')}; commit`);
}

interface Ways {
  folded: number;
  exact: number;
}

/** Drains. @returns the changes by the way that they took. */
async function drained(
  db: FreshPair,
  migration: Migration,
  { exactly, ...options }: Partial<StreamOptions> & { exactly?: boolean },
): Promise<Ways> {
  const work = testWork();
  const ways: Ways = { folded: 0, exact: 0 };
  const info = (_: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    ways.folded += Number(fields['folded'] ?? 0);
    ways.exact += Number(fields['exact'] ?? 0);
  };
  await drain(
    db,
    migration,
    { ...options, limits: exactly === undefined ? {} : { exactly } },
    { ...work, log: { ...work.log, info } },
  );
  return ways;
}

test('random changes of every type leave the same target over the fast way, over the exact one, and cut anywhere', async () => {
  const random = drawn();
  await using db = await freshPair();
  await using other = await freshPair();
  const migration = await startMigration(db, SCHEMA);
  const exactDb = {
    ...other,
    source: db.source,
    sourceClient: db.sourceClient,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const exactMigration = await startMigration(exactDb, 'select 1', undefined, SCHEMA);
  let next = 0;
  const sum: Ways = { folded: 0, exact: 0 };
  for (const size of [1, 40, 3, 120, 10]) {
    for (let i = 0; i < size; i += 1) await transaction(db, random, () => (next += 1));
    const batchChanges = random.one([1, 7, 100, 5_000]);
    const fast = await drained(db, migration, { batchChanges });
    sum.folded += fast.folded;
    sum.exact += fast.exact;
    const slow = await drained(exactDb, exactMigration, { batchChanges, exactly: true });
    expect(slow).toEqual({ folded: 0, exact: fast.folded + fast.exact });
    // No change brings the state of a sequence.
    const { rows } = await db.sourceClient.query<{ last: string; called: boolean }>(
      'select last_value::text as last, is_called as called from line_i_seq',
    );
    for (const one of [db, exactDb]) {
      await one.targetClient.query(`select setval('line_i_seq', $1, $2)`, [
        rows[0]?.last,
        rows[0]?.called,
      ]);
      await expectSame(one);
    }
  }
  process.stdout.write(`${sum.folded} changes folded, ${sum.exact} one by one\n`);
  expect(sum.folded).toBeGreaterThan(100);
}, 240_000);

/** A key with all that COPY text escapes. */
const AWKWARD = String.raw`E'tab\t nl\n cr\r bs\\ "q" {a,b} \\N'`;

const SIMPLE = /* sql */ `
  create table every (id int primary key, n numeric not null);
  create table two (a int, b text, n float8, primary key (b, a));
  create table t (id int primary key, a text, n numeric, b bytea, g int generated always as (id) stored);
  create table bare (id int);
  create table whole (id int); alter table whole replica identity full;
  insert into t select i, 'x', 1, '\\x00' from generate_series(1, 100) i;
  insert into whole values (1)`;

test.each([
  ['inserts', `insert into t select i, 'a', 2, '\\x01' from generate_series(201, 220) i`, 20, 0],
  ['inserts without a key', `insert into bare select generate_series(1, 20)`, 20, 0],
  ['updates', `update t set a = null, b = '\\xff' where id <= 10`, 10, 0],
  ['deletes', `delete from t where id <= 10`, 10, 0],
  [
    'all of a row',
    `insert into t (id, n) values (300, 1); update t set a = 'q' where id = 300; delete from t where id = 300`,
    3,
    0,
  ],
  ['an update of a key', `update t set id = 500 where id = 1`, 0, 1],
  ['a row without a key', `update whole set id = 2`, 0, 1],
  // To the plugin of these servers NaN is a null, too.
  ['nulls of numbers', `update t set n = null where id <= 10`, 10, 0],
  [
    'nulls that are one and NaN',
    `update t set n = case id when 2 then 'NaN'::numeric end where id <= 2`,
    2,
    0,
  ],
  [
    'NaN of a row that is changed again',
    `insert into t (id, n) values (300, 'NaN'); update t set a = 'q' where id = 300`,
    2,
    0,
  ],
  ['NaN in a column that has no nulls', `insert into every values (1, 'NaN')`, 0, 1],
  ['a null of a row that is gone', `update t set n = null; delete from t where id = 7`, 101, 0],
  [
    'a null of a row with a key of two columns',
    `insert into two values (1, ${AWKWARD}, null)`,
    1,
    0,
  ],
  [
    'NaN of a row with a key of two columns',
    `insert into two values (1, ${AWKWARD}, '-Infinity')`,
    1,
    0,
  ],
])('%s take the way that they should', async (_, sql, folded, exact) => {
  await using db = await freshPair();
  const migration = await startMigration(db, SIMPLE);
  await db.sourceClient.query(sql);
  expect(await drained(db, migration, {})).toEqual({ folded, exact });
  await expectSame(db);
});

test('rows that the target refuses are applied one by one, and only the batch of the refusal twice', async () => {
  await using db = await freshPair();
  const ddl = /* sql */ `create table t (id int primary key, u int unique); insert into t select i, i from generate_series(1, 10) i`;
  const migration = await startMigration(db, ddl);
  // No order of sets gives each row the other's value.
  await db.sourceClient.query(
    `begin; update t set u = -1 where id = 1; update t set u = 1 where id = 2; update t set u = 2 where id = 1; commit`,
  );
  expect(await drained(db, migration, {})).toEqual({ folded: 0, exact: 3 });
  await expectSame(db);
});

test('a piece of a huge transaction that is refused leaves the pieces before it as they are', async () => {
  await using db = await freshPair();
  const ddl = /* sql */ `create table t (id int primary key, u int unique deferrable); insert into t select i, i from generate_series(1, 40) i;
    create table s (id int primary key); alter table t replica identity default`;
  const migration = await startMigration(db, ddl);
  await db.sourceClient
    .query(`begin; insert into s select generate_series(1, 25); update t set u = u + 1000 where id <= 5;
    set constraints all deferred; update t set u = 41 - u where id > 5; insert into s select generate_series(101, 120); commit`);
  await drained(db, migration, { batchChanges: 10 });
  await expectSame(db);
});

test('a piece whose rows cannot fly, or change nothing, leaves the pieces before it as they are', async () => {
  await using db = await freshPair();
  // Text is converted to the type by a cast of the user's own: values of it do not go as arrays.
  const ddl = /* sql */ `
    create type spot as (x int, y int);
    create function spot_of(text) returns spot language sql immutable as 'select row(length($1), 0)::spot';
    create cast (text as spot) with function spot_of(text) as assignment;
    create table log (id int primary key, v text);
    create table place (id int primary key, at spot, n int);
    create table link (a int, b int, primary key (a, b));
    insert into place select i, row(i, i)::spot, 0 from generate_series(1, 5) i; insert into link values (1, 2)`;
  const migration = await startMigration(db, ddl);
  const piece = (from: number) =>
    `insert into log select g, 'x' from generate_series(${from}, ${from + 9}) g`;
  await db.sourceClient.query(`begin; ${piece(1)}; ${piece(11)}; ${piece(21)};
    update place set n = n + 1; update link set a = a; ${piece(31)}; ${piece(41)}; update place set n = n + 1; ${piece(51)}; commit`);
  await drained(db, migration, { batchChanges: 10 });
  await expectSame(db);
});

test('an update that changes nothing stops the stream when its row is not there', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `create table link (a int primary key); insert into link values (1), (2)`,
  );
  await db.sourceClient.query(`update link set a = a`);
  expect(await drained(db, migration, {})).toEqual({ folded: 2, exact: 0 });
  await db.targetClient.query(`delete from link where a = 2`);
  await db.sourceClient.query(`update link set a = a`);
  await expect(drained(db, migration, {})).rejects.toMatchObject({ code: 'RowMissing' });
});

test('updates that leave out many sets of TOASTed columns arrive, also when a batch ends before their transaction and they are read again without it', async () => {
  await using db = await freshPair();
  const columns = [...'abcdefgh'];
  const large = /* sql */ `repeat(md5(random()::text), 90)`;
  const migration = await startMigration(
    db,
    `create table doc (id int primary key, ${columns.map((one) => `${one} text`).join(', ')});
     ${columns.map((one) => `alter table doc alter ${one} set storage external;`).join('')}`,
  );
  const threes = columns.flatMap((a, i) =>
    columns.slice(i + 1).flatMap((b, j) => columns.slice(i + j + 2).map((c) => [a, b, c])),
  );
  await db.sourceClient.query(
    `insert into doc select i, ${columns.map(() => large).join(', ')} from generate_series(1, ${threes.length}) i`,
  );
  const updates = threes.flatMap((three, at) =>
    three.map((one) => `update doc set ${one} = ${large} where id = ${at + 1}`),
  );
  await db.sourceClient.query(`begin; ${updates.join('; ')}; commit`);
  // Full in the middle of the second transaction.
  await drain(db, migration, { batchChanges: 160, batchMilliseconds: 5_000 });
  await expectSame(db);
});
