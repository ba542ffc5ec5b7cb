/** What the catalog reader returns about tables is what the stream and the copy rely on. */
import pg from 'pg';
import { expect, test } from 'vitest';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { compareColumns } from '../../../postgres/catalog/column-difference.ts';
import { readRelations, readRelationsNamed } from '../../../postgres/catalog/read-relations.ts';
import { freshPair } from '../../support/database.ts';
import { serverOf } from '../../support/versions.ts';

const EVERYTHING = { include: ['*.*'], exclude: [] };

test('tables, partitions, children, unlogged and foreign tables are read; temporary, system and extension tables are not', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create schema app; create schema walferry; create table walferry.migration (id int);
    create table app.plain (id int primary key);
    create table app.root (id int, day date, primary key (id, day)) partition by range (day);
    create table app.leaf partition of app.root for values from ('2024-01-01') to ('2025-01-01');
    create table app.child () inherits (app.plain);
    create unlogged table app.fast (id int);
    create temporary table gone (id int);
    create extension file_fdw; create server files foreign data wrapper file_fdw;
    create foreign table app.far (id int) server files options (filename '/dev/null');
    create view app.seen as select 1 as one;
    create materialized view app.kept as select 1 as one`);
  const relations = await readRelations(db.sourceClient, EVERYTHING);
  expect(relations.map((r) => [r.name, r.kind, r.persistence, r.isPartition])).toEqual([
    ['child', 'r', 'p', false],
    ['far', 'f', 'p', false],
    ['fast', 'r', 'u', false],
    ['leaf', 'r', 'p', true],
    ['plain', 'r', 'p', false],
    ['root', 'p', 'p', false],
  ]);
  const oidOf = (name: string) => relations.find((r) => r.name === name)?.oid;
  expect(relations.find((r) => r.name === 'leaf')?.parentOid).toBe(oidOf('root'));
  expect(relations.find((r) => r.name === 'child')?.parentOid).toBe(oidOf('plain'));
});

test('the tables of an extension are not selected', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table public.member (id int); create table public.own (id int); create extension hstore;
    alter extension hstore add table public.member`);
  const relations = await readRelations(db.sourceClient, EVERYTHING);
  expect(relations.map((r) => r.name)).toEqual(['own']);
});

test('partitions follow their root into and out of the selection', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table root (id int) partition by list (id);
    create table middle partition of root for values in (1, 2) partition by list (id);
    create table leaf partition of middle for values in (1);
    create table other (id int)`);
  const names = async (include: string[], exclude: string[] = []) =>
    (await readRelations(db.sourceClient, { include, exclude })).map((r) => r.name);
  expect(await names(['public.root'])).toEqual(['leaf', 'middle', 'root']);
  expect(await names(['*.*'], ['public.middle'])).toEqual(['other', 'root']);
});

test('the key consists of columns that the replica identity sends and that identify one row', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table a_pk (x text, y int, z int, primary key (y, x));
    create table b_deferrable (id int primary key deferrable);
    create table c_none (id int);
    create table d_unique_only (id int not null unique);
    create table e_index (id int not null, n int not null); create unique index e_i on e_index (n) include (id);
    alter table e_index replica identity using index e_i;
    create table f_full (id int, n int not null); create unique index f_null on f_full (id); create unique index f_part on f_full (n) where id > 0;
    alter table f_full replica identity full;
    create table g_full (id int not null, n int not null, unique (id, n)); alter table g_full replica identity full;
    create table h_nothing (id int primary key); alter table h_nothing replica identity nothing;
    create table i_full_pk (id int primary key, n int not null unique); alter table i_full_pk replica identity full`);
  const relations = await readRelations(db.sourceClient, EVERYTHING);
  expect(Object.fromEntries(relations.map((r) => [r.name, r.key]))).toEqual({
    a_pk: ['y', 'x'],
    b_deferrable: null,
    c_none: null,
    d_unique_only: null,
    e_index: ['n'],
    f_full: null,
    g_full: ['id', 'n'],
    h_nothing: null,
    i_full_pk: ['id'],
  });
});

test('columns are read with their types below domains, schema-qualified under any search path, which is restored', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create domain public.money2 as numeric(10, 2); create domain public.money3 as public.money2 check (value > 0);
    create type public.mood as enum ('ok');
    create table t (gone int, m public.money3, v varchar(7) not null default 'x', e public.mood[],
                    g int generated always as (1 + 1) stored, i bigint generated always as identity);
    alter table t drop column gone;
    set search_path = public, pg_catalog`);
  const [relation] = await readRelations(db.sourceClient, EVERYTHING);
  expect(
    relation?.columns.map((c) => [
      c.name,
      c.attnum,
      c.typeName,
      c.baseTypeName,
      c.notNull,
      c.hasDefault,
      c.generated,
      c.identity,
    ]),
  ).toEqual([
    ['m', 2, 'public.money3', 'numeric', false, false, false, ''],
    ['v', 3, 'character varying(7)', 'character varying', true, true, false, ''],
    ['e', 4, 'public.mood[]', 'public.mood[]', false, false, false, ''],
    ['g', 5, 'integer', 'integer', false, true, true, ''],
    ['i', 6, 'bigint', 'bigint', true, false, false, 'a'],
  ]);
  const path = await db.sourceClient.query<{ search_path: string }>('show search_path');
  expect(path.rows[0]?.search_path).toBe('public, pg_catalog');
});

test('sizes are current, with or without an ANALYZE', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table t (id int primary key, filler text);
    insert into t select i, repeat('x', 100) from generate_series(1, 10000) i; create table empty (id int)`);
  const [empty, before] = await readRelations(db.sourceClient, EVERYTHING);
  expect([empty?.pages, empty?.bytes, empty?.estimatedRows]).toEqual([0, 0, 0]);
  const pages = before?.pages ?? 0;
  expect(pages).toBeGreaterThan(100);
  expect(before?.estimatedRows).toBeGreaterThan(1000);
  await db.sourceClient.query('analyze t');
  const [, analyzed] = await readRelations(db.sourceClient, EVERYTHING);
  expect(analyzed?.estimatedRows).toBe(10000);
  expect(analyzed?.pages).toBe(pages);
});

test('drift names what the target cannot store, and nothing else', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table same (a int, b text); create table missing (a int); create table kind (a int);
    create table cols (a int, gone int, wide numeric(10, 2), g int, n int)`);
  await db.targetClient.query(/* sql */ `
    create table same (b text, a int, extra int default 1); create table kind (a int) partition by list (a);
    create table cols (a int, wide numeric(8, 2), g int generated always as (1) stored, n int not null, must int not null)`);
  const source = await readRelations(db.sourceClient, EVERYTHING);
  const target = await readRelationsNamed(db.targetClient, source);
  expect(compareColumns(source, target).map((d) => [d.table, d.column, d.what])).toEqual([
    ['cols', 'gone', 'is missing on the target'],
    ['cols', 'wide', 'is numeric(10,2) on the source, numeric(8,2) on the target'],
    ['cols', 'g', 'is generated on the target only'],
    ['cols', 'n', 'is NOT NULL on the target only'],
    ['cols', 'must', 'exists only on the target, is NOT NULL and has no default'],
    ['kind', null, 'is a table on the source, a partitioned table on the target'],
    ['missing', null, 'is missing on the target'],
  ]);
});

const on18 = findOther(18);
test.skipIf(!on18)(
  'on 18 a unique index on a column whose NOT NULL is not validated is not a key',
  async () => {
    if (!on18) return;
    await using server = await serverOf('source', on18);
    const client = new pg.Client(server.connection('postgres'));
    await client.connect();
    try {
      await client.query(/* sql */ `
      create table t (a int unique, b int);
      alter table t replica identity full;
      insert into t values (null, 1), (null, 2);
      alter table t add constraint a_there not null a not valid`);
      const keyOf = async () =>
        (await readRelations(client, { include: ['public.t'], exclude: [] }))[0]?.key;
      expect(await keyOf()).toBeNull();
      await client.query(/* sql */ `update t set a = b; alter table t validate constraint a_there`);
      expect(await keyOf()).toEqual(['a']);
    } finally {
      await client.end();
    }
  },
);
