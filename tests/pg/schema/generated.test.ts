/** Values of generated columns, which the target computes itself: compared before a cutover ends. */
import { expect, test } from 'vitest';
import { compareCounts } from '../../../postgres/cutover/compare-counts.ts';
import type { Migration } from '../../../contract/migration.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { drain, expectSame, startMigration } from '../../support/stream.ts';
import { registered } from '../../support/control.ts';
import { failure, inputOf, testWork } from './schema-fidelity.ts';

const TWICE = /* sql */ `create or replace function public.f(int) returns int immutable language sql as 'select $1 * 2'`;
const THRICE = TWICE.replace('* 2', '* 3');

function compare(db: FreshPair, migration: Migration, tables: Record<string, unknown> = {}) {
  return compareCounts(migration, inputOf(db, { tables }), testWork());
}

test('when a function was replaced on the source, the cutover is refused until both sides recompute the values', async () => {
  await using db = await freshPair();
  const migration = await startMigration(
    db,
    /* sql */ `${TWICE}; create table t (id int primary key, a int, g int generated always as (f(a)) stored, h int generated always as (a + 1) stored);
      create table u (id int primary key, g int generated always as (f(id)) stored);
      insert into t (id, a) select i, i from generate_series(1, 100) i; insert into u select generate_series(1, 10);`,
  );
  await drain(db, migration);
  expect(await compare(db, migration)).toEqual({ tables: 2, rows: 110 });
  await db.sourceClient.query(THRICE);
  await db.sourceClient.query(
    /* sql */ `insert into t (id, a) values (1001, 7777); update t set a = a + 1 where id <= 10; insert into u values (11)`,
  );
  await drain(db, migration);
  const error = await failure(compare(db, migration), 'NotEqual');
  expect(error.message).toContain('values of generated columns differ: public.t (g), public.u (g)');
  expect(error.message).not.toMatch(/7777|23331|15554/);
  expect(error.details).toMatchObject({ table: 'public.t', column: 'g' });
  // What the message asks for. The stream does not write a key again, so the target has to do it, too.
  await db.targetClient.query(THRICE);
  const again = /* sql */ `update t set a = a; update u set id = id`;
  await db.sourceClient.query(again);
  await drain(db, migration);
  await db.targetClient.query(again);
  expect(await compare(db, migration)).toEqual({ tables: 2, rows: 112 });
  await expectSame(db);
});

test('rows whose function reads another table are computed before that table is filled, and the cutover reports it', async () => {
  await using db = await freshPair();
  const lines = /* sql */ `create table z_rate (code text primary key, rate numeric);
    create function rate_of(c text) returns numeric language plpgsql immutable
      as 'begin return (select rate from public.z_rate where code = c); end';
    create table a_line (id int primary key, code text, n numeric, total numeric generated always as (n * rate_of(code)) stored);`;
  const migration = await startMigration(
    db,
    /* sql */ `${lines} insert into z_rate values ('a', 2); insert into a_line select i, 'a', i from generate_series(1, 50) i;`,
    undefined,
    lines,
  );
  await drain(db, migration);
  expect((await failure(compare(db, migration), 'NotEqual')).message).toContain(
    'public.a_line (total)',
  );
  await db.sourceClient.query(/* sql */ `update a_line set n = n`);
  await drain(db, migration);
  await compare(db, migration);
  await expectSame(db);
});

/** Both sides get `ddl` and the rows; the target gets another expression for column g. */
async function differing(ddl: string, rows: string, expression: [string, string], tables = {}) {
  await using db = await freshPair();
  const [here, there] = expression;
  await db.sourceClient.query(ddl.replace('EXPRESSION', here) + rows);
  await db.targetClient.query(ddl.replace('EXPRESSION', there) + rows);
  return await compare(db, await registered(db), tables).then(
    () => null,
    ({ message }: Error) => message,
  );
}

const TABLES: readonly (readonly [string, string, string])[] = [
  [
    'with a key',
    'create table t (id int primary key, a int, g int generated always as (EXPRESSION) stored);',
    '',
  ],
  [
    'without a key, with equal rows',
    'create table t (id int, a int, g int generated always as (EXPRESSION) stored);',
    'insert into t (id, a) select 1, 1 from generate_series(1, 5);',
  ],
  [
    'with partitions',
    `create table t (id int primary key, a int, g int generated always as (EXPRESSION) stored) partition by range (id);
     create table t_1 partition of t for values from (0) to (50); create table t_2 partition of t default;`,
    '',
  ],
  [
    'with children that inherit',
    'create table t (id int primary key, a int, g int generated always as (EXPRESSION) stored); create table child () inherits (t);',
    'insert into child (id, a) values (1, 1);',
  ],
  [
    'with the generated column in its replica identity',
    'create table t (id int primary key, a int, g int generated always as (EXPRESSION) stored not null, unique (g, id)); alter table t replica identity using index t_g_id_key;',
    '',
  ],
  [
    'with names and a key that need quoting',
    `create table t (id int, a int, "k; ""K" text collate "und-x-icu", g int generated always as (EXPRESSION) stored, primary key (id, "k; ""K"));`.replace(
      '"k; ""K" text',
      '"k; ""K" text default \'é,"\'',
    ),
    '',
  ],
];

test.each(TABLES)(
  'a different expression on the target is found in a table %s, and the same one is not reported',
  async (_, ddl, more) => {
    const rows = `insert into t (id, a) select i, i from generate_series(1, 100) i; ${more}`;
    expect(await differing(ddl, rows, ['a + id', 'id + a'])).toBeNull();
    expect(
      await differing(ddl, rows, ['a + id', 'case id when 100 then 0 else a + id end']),
    ).toMatch(/^values of generated columns differ: public\.(t|t_2) \(g\)/);
  },
);

test('partitions that go through their root are compared with it as a whole', async () => {
  await using db = await freshPair();
  const table = (expression: string): string =>
    /* sql */ `create table t (id int primary key, a int, g int generated always as (${expression}) stored) partition by hash (id);`;
  const rows = /* sql */ `insert into t select i, i from generate_series(1, 300) i`;
  const parts = (count: number): string =>
    Array.from(
      { length: count },
      (_, at) =>
        /* sql */ `create table t_${count}_${at} partition of t for values with (modulus ${count}, remainder ${at});`,
    ).join(' ');
  await db.sourceClient.query(`${table('a * 2')} ${parts(4)} ${rows}`);
  await db.targetClient.query(`${table('a + a')} ${parts(3)} ${rows}`);
  const tables = { viaPartitionRoot: ['public.t'] };
  const migration = await registered(db);
  expect(await compare(db, migration, tables)).toEqual({ tables: 1, rows: 300 });
  await db.targetClient.query(/* sql */ `update t set a = 0 where id = 7`);
  const { message } = await failure(compare(db, migration, tables), 'NotEqual');
  expect(message).toContain('public.t (g)');
});

test('values compare as equal whatever order, collation and time zone the two databases have', async () => {
  await using db = await freshPair();
  const ddl = /* sql */ `create type state as enum ('b', 'a'); create schema hall; create table hall.named (id int primary key);
    create table t (id text primary key, at timestamptz, p point, n float8, c regclass, s state,
                    g text generated always as (id || '.') stored, day int generated always as (extract(day from at at time zone 'UTC')) stored,
                    h float8 generated always as (n * 3) stored);`;
  const rows = (order: string): string => /* sql */ `insert into t
    select 'é' || i, timestamptz '2026-01-01 00:00Z' + i * interval '7 hours', point(i, 0.1), i / 7.0, 'hall.named', 'a'
      from generate_series(1, 200) i order by i ${order}`;
  for (const [client, order] of [
    [db.sourceClient, 'asc'],
    [db.targetClient, 'desc'],
  ] as const) {
    await client.query(ddl);
    await client.query(rows(order));
  }
  await db.targetClient.query(`alter database ${db.target} set timezone = 'Asia/Tokyo'`);
  await db.targetClient.query(`alter database ${db.target} set search_path = hall, public`);
  expect(await compare(db, await registered(db))).toEqual({ tables: 2, rows: 200 });
});
