/**
 * Two paths lead to the target: rows as bytes, folded as they arrive, and change by change. The same changes over either path leave
 * the same target, and ordinary changes take the fast one.
 */
import { expect, test, vi } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { Staging } from '../../../postgres/apply/staging.ts';
import type { StreamOptions } from '../../../postgres/stream/stream-options.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { fingerprint } from '../../support/equality.ts';
import {
  makePool,
  makeTypes,
  makeValues,
  fidelityColumns,
  valueCases,
  type FidelityColumn,
} from '../../support/fidelity/types.ts';
import { ROLES } from '../../support/fidelity/stage.ts';
import { drawn, type Pick } from '../../support/random/pick.ts';
import { drain, expectSame, startMigration, testWork } from '../../support/stream.ts';

/** Rows of the pool that values are taken from. */
const POOL = 24;
const IDS = 60;
/** Changes of a table that are too few for sets (FEW_ROWS): batches of this size are applied change by change. */
const CHANGE_BY_CHANGE = 25;

/** How many transactions, and whether they are one: then the target does nothing before the commit, and gets large batches. */
const PARTS = [
  [2, false],
  [20, false],
  [10, true],
  [10, true],
  [5, false],
] as const;

/** Tables of every kind next to the two with all types. Rows of `tree` go through its root. */
const TABLES = /* sql */ `
  create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  create table line (w text, b text collate blind, a int, v text, g int generated always as (a * 2) stored,
    i bigint generated always as identity, primary key (b, a));
  alter table line alter column w set storage external;
  create table "Moving ""x""" ("K ""k""" text primary key, v int, u int unique);
  create table whole (k int, v text, n bigint);
  alter table whole replica identity full;
  create table bare (k int, v text);
  create table wide (id uuid primary key, body text, n int);
  alter table wide alter column body set storage external;
  create table part (id int, k int, v text, primary key (id, k)) partition by range (k);
  create table part_low partition of part for values from (0) to (10);
  create table part_high partition of part for values from (10) to (20) partition by hash (id);
  create table part_high_0 partition of part_high for values with (modulus 2, remainder 0);
  create table part_high_1 partition of part_high for values with (modulus 2, remainder 1);`;
const TREE = 'create table tree (id int, k int, v text, primary key (id, k))';
const TREE_OF_SOURCE = /* sql */ `${TREE} partition by list (k);
  create table tree_a partition of tree for values in (0, 1, 2);
  create table tree_b partition of tree for values in (3, 4) partition by range (id);
  create table tree_b_1 partition of tree_b for values from (minvalue) to (30);
  create table tree_b_2 partition of tree_b default;
  create table tree_c partition of tree for values in (5);`;
const SELECTED = { include: ['public.*'], exclude: [], viaPartitionRoot: ['public.tree'] };
const TRUNCATED = [
  'whole, line',
  '"Moving ""x"""',
  'every_full',
  'wide, every',
  'part',
  'part_low, bare',
  'tree',
  'tree_a',
] as const;

/** `every`, by a key, and `every_full`, by all columns, which cannot have types whose nulls are ambiguous. */
function tablesOf(columns: readonly FidelityColumn[]): string {
  const list = (of: readonly FidelityColumn[]): string =>
    of.map(({ name, type }) => `${name} ${type}`).join(', ');
  return /* sql */ `
    create table every (id int primary key, ${list(columns)});
    create table every_full (id int, ${list(columns.filter(({ exposed }) => !exposed))});
    alter table every_full replica identity full;`;
}

/** Keys come from a small range, so that the same rows are changed repeatedly. */
function statement(random: Pick, next: number, columns: readonly FidelityColumn[]): string {
  const id = random.below(IDS);
  const from = random.below(POOL);
  const body = random.one(['null', `'b${next}'`, `repeat(md5('${next}'), 200)`]);
  const names = (of: readonly FidelityColumn[]): string => of.map(({ name }) => name).join(', ');
  const plain = columns.filter(({ exposed }) => !exposed);
  /** Some columns take another row's values, or all become null. */
  const set = (of: readonly FidelityColumn[]): string => {
    const some = Array.from({ length: 1 + random.below(8) }, () => random.one(of));
    const chosen = [...new Map(some.map((one) => [one.name, one])).values()];
    return random.below(5) === 0
      ? chosen.map(({ name }) => `${name} = null`).join(', ')
      : chosen
          .map(({ name }) => `${name} = (select ${name} from pool.pool where n = ${from})`)
          .join(', ');
  };
  switch (random.below(24)) {
    case 0:
    case 1:
      return `insert into every (id, ${names(columns)}) select ${id}, ${names(columns)} from pool.pool where n = ${from} on conflict do nothing`;
    case 2:
      return `update every set ${set(columns)} where id = ${id}`;
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
    case 15:
      return `update wide set body = ${body} where id = md5('${id}')::uuid`;
    case 16:
      return `insert into every_full (id, ${names(plain)}) select ${id}, ${names(plain)} from pool.pool where n = ${from}`;
    case 17:
      return random.one([
        `update every_full set ${set(plain)} where ctid = (select min(ctid) from every_full where id >= ${id})`,
        `delete from every_full where ctid = (select min(ctid) from every_full where id >= ${id})`,
      ]);
    case 18:
      return `update every set id = ${IDS + next} where id = ${id}`;
    case 19:
    case 20:
      return `insert into ${random.one([`part values (${id}, ${id % 20}`, `tree values (${id}, ${id % 6}`])}, ${body}) on conflict do nothing`;
    case 21:
      // Also into another partition: a delete here and an insert there.
      return random.one([
        `update part set k = (k + ${random.below(19)}) % 20, v = '${next}' where id = ${id}`,
        `update tree set k = (k + ${random.below(5)}) % 6, v = '${next}' where id = ${id}`,
      ]);
    case 22:
      return `update ${random.one(['part', 'tree'])} set id = ${IDS + next} where id = ${id}`;
    default:
      return `delete from ${random.one(['part', 'tree'])} where id = ${id}`;
  }
}

const MANY = 70;

/** Many rows of each table with a key at once: inserted the first time, then changed or deleted in turn. */
function bulk(random: Pick, time: number, columns: readonly FidelityColumn[]): string[] {
  const names = columns.map(({ name }) => name).join(', ');
  const ids = `generate_series(1000001, ${1_000_000 + MANY}) g`;
  if (time === 0) {
    return [
      `insert into every (id, ${names}) select g, ${names} from ${ids} join pool.pool on n = g % ${POOL}`,
      `insert into line (w, b, a, v) select repeat(g::text, 300), 'many', g, 'v' from ${ids}`,
      `insert into "Moving ""x""" select 'many ' || g, g, g from ${ids}`,
      `insert into wide select md5(g::text)::uuid, repeat(g::text, 300), 0 from ${ids}`,
      `insert into part select g, g % 10, 'v' from ${ids}`,
      `insert into tree select g, g % 6, 'v' from ${ids}`,
      `insert into bare select g, 'v' from ${ids}`,
    ];
  }
  const { name } = random.one(columns);
  const many = 'between 1000001 and 2000000';
  return [
    `update every set ${name} = (select ${name} from pool.pool where n = ${random.below(POOL)}) where id ${many}`,
    `update line set v = 'many' where a ${many}`,
    `update "Moving ""x""" set "K ""k""" = "K ""k""" || '!' where u ${many}`,
    `delete from wide where body like '1%'`,
    `update part set v = 'many' where id ${many}`,
    `update tree set k = (k + 1) % 6 where id ${many}`,
    `delete from part where id ${many} and k < 0`,
  ];
}

/** Some statements, including a TRUNCATE where one is wanted. */
function statements(
  random: Pick,
  next: () => number,
  columns: readonly FidelityColumn[],
  truncates: boolean,
): string[] {
  const some = Array.from({ length: 1 + random.below(30) }, () =>
    statement(random, next(), columns),
  );
  if (truncates) some.splice(random.below(some.length), 0, `truncate ${random.one(TRUNCATED)}`);
  return some;
}

interface Ways {
  folded: number;
  exact: number;
}

/** Drains. @returns the number of changes on each path. */
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

/** Digests of the selected tables' rows; a tree that goes through its root counts as one table. */
async function rowsOf(service: string): Promise<Record<string, readonly string[]>> {
  await using client = await connectTo(service);
  const tables: Record<string, string[]> = {};
  for (const [name, rows] of await fingerprint(client)) {
    // The state of a sequence is in no change.
    if (!name.startsWith('public.') || name === 'public.line_i_seq') continue;
    const table = name.startsWith('public.tree') ? 'public.tree' : name;
    tables[table] = [...(tables[table] ?? []), ...rows].sort();
  }
  return tables;
}

/** Tables whose rows differ. */
function differing(
  source: Readonly<Record<string, readonly string[]>>,
  target: Readonly<Record<string, readonly string[]>>,
): string[] {
  return [...new Set([...Object.keys(source), ...Object.keys(target)])].filter(
    (table) => source[table]?.join() !== target[table]?.join(),
  );
}

test('random changes of every type of the fidelity suite, in tables of every kind, leave the same target over the fast path, in sets, and change by change', async () => {
  const random = drawn();
  await using db = await freshPair();
  await using other = await freshPair();
  await using third = await freshPair();
  const { cases, missing } = await valueCases(db.sourceClient, db.targetClient);
  for (const client of [db.sourceClient, db.targetClient]) await client.query(ROLES);
  await makeValues(cases, db.source);
  for (const { target } of [db, other, third]) await makeTypes(cases, db.sourceClient, target);
  const columns = await fidelityColumns(cases, db.sourceClient);
  await db.sourceClient.query('create schema pool');
  await makePool('pool.pool', columns, POOL, db.sourceClient);
  process.stdout.write(`${columns.length} types; not here: ${missing.join(', ')}\n`);
  const path = 'set search_path = public';
  const ddl = `${path}; ${tablesOf(columns)} ${TABLES}`;
  const begin = (of: FreshPair, onSource: string): Promise<Migration> =>
    startMigration(of, onSource, SELECTED, `${ddl} ${TREE}`);
  const onSameSource = (of: FreshPair): FreshPair => ({
    ...{ ...of, source: db.source, sourceClient: db.sourceClient },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  const [inSets, singly] = [onSameSource(other), onSameSource(third)];
  const migrations = {
    fast: await begin(db, `${ddl} ${TREE_OF_SOURCE}`),
    inSets: await begin(inSets, path),
    singly: await begin(singly, path),
  };
  const staged = vi.spyOn(Staging.prototype, 'fill');
  let next = 0;
  const sum = { folded: 0, exact: 0, sets: 0, truncates: 0 };
  let times = 0;
  for (const [size, huge] of PARTS) {
    const forced = random.below(size - 1);
    const transactions = Array.from({ length: size }, (_, i) => {
      const truncates = i === forced || (!huge && random.below(15) === 0);
      sum.truncates += truncates ? 1 : 0;
      return statements(random, () => (next += 1), columns, truncates);
    });
    const all = huge ? [[...transactions.flat(), ...bulk(random, times++, columns)]] : transactions;
    for (const one of all) await db.sourceClient.query(`begin; ${one.join('; ')}; commit`);
    const options = { ...SELECTED, batchMilliseconds: 1_000 };
    const batchChanges = random.one([1, 7, 100, 5_000]);
    const fast = await drained(db, migrations.fast, { ...options, batchChanges });
    sum.folded += fast.folded;
    sum.exact += fast.exact;
    const exactly = { folded: 0, exact: fast.folded + fast.exact };
    staged.mockClear();
    expect(
      await drained(inSets, migrations.inSets, { ...options, batchChanges: 5_000, exactly: true }),
    ).toEqual(exactly);
    sum.sets += staged.mock.calls.length;
    staged.mockClear();
    expect(
      await drained(singly, migrations.singly, {
        ...options,
        batchChanges: CHANGE_BY_CHANGE,
        exactly: true,
      }),
    ).toEqual(exactly);
    expect(staged).not.toHaveBeenCalled();
    const expected = await rowsOf(db.source);
    for (const { target } of [db, other, third]) {
      expect(differing(expected, await rowsOf(target))).toEqual([]);
    }
  }
  staged.mockRestore();
  process.stdout.write(`${JSON.stringify(sum)}\n`);
  expect(columns.length).toBeGreaterThan(100);
  expect(sum.folded).toBeGreaterThan(100);
  expect(sum.exact).toBeGreaterThan(100);
  expect(sum.sets).toBeGreaterThan(0);
  expect(sum.truncates).toBeGreaterThan(3);
}, 240_000);

/** A key with everything that COPY text escapes. */
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
    'an insert, update and delete of a row',
    `insert into t (id, n) values (300, 1); update t set a = 'q' where id = 300; delete from t where id = 300`,
    3,
    0,
  ],
  ['an update of a key', `update t set id = 500 where id = 1`, 0, 1],
  ['a row without a key', `update whole set id = 2`, 0, 1],
  // The plugin of these servers sends NaN as null, too.
  ['nulls of numbers', `update t set n = null where id <= 10`, 10, 0],
  [
    'nulls and NaN sent as null',
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
  ['a null of a row that was deleted', `update t set n = null; delete from t where id = 7`, 101, 0],
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
])('%s take the expected path', async (_, sql, folded, exact) => {
  await using db = await freshPair();
  const migration = await startMigration(db, SIMPLE);
  await db.sourceClient.query(sql);
  expect(await drained(db, migration, {})).toEqual({ folded, exact });
  await expectSame(db);
});

test('rows that the target refuses are applied change by change, and only the refused batch is sent twice', async () => {
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

test('a piece of a huge transaction that is refused leaves the pieces before it unchanged', async () => {
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

test('a piece whose rows cannot be sent in one go, or change nothing, leaves the pieces before it unchanged', async () => {
  await using db = await freshPair();
  // A user-defined cast converts text to the type, so its values are not sent as arrays.
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

test('an update that changes nothing stops the stream when its row is missing', async () => {
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

test('updates that omit many sets of TOASTed columns arrive, also when a batch ends before their transaction and they are read again without it', async () => {
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
