/** Materialized views match the tables: filled early, refreshed within the cutover, in dependency order. */
import { expect, test } from 'vitest';
import { parseLsn } from '../../../contract/lsn.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { refreshViews } from '../../../postgres/schema/refresh-views.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { failure, inputOf, migrationOf, testWork } from './schema-fidelity.ts';

const FIRST = parseLsn('0/10');
const SECOND = parseLsn('0/20');

async function schemaOf(db: FreshPair, sql: string) {
  await db.sourceClient.query(sql);
  const migration = migrationOf(db);
  const input = inputOf(db);
  await copySchema(migration, input, testWork());
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  return { migration, input };
}

const scalar = async (db: FreshPair, sql: string): Promise<unknown> => {
  const { rows } = await db.targetClient.query<{ value: unknown }>(`select (${sql}) as value`);
  return rows[0]?.value;
};

test('views over views are refreshed in order and once for each end mark; an unpopulated one stays so', async () => {
  await using db = await freshPair();
  const { migration, input } = await schemaOf(
    db,
    /* sql */ `
    create table t (id int primary key);
    create materialized view z_first as select count(*)::int as n from t;
    create view between_them as select n + 1 as n from z_first;
    create materialized view a_last as select n from between_them;
    create materialized view never as select * from t with no data;
    create view over_never as select * from never;`,
  );
  await db.targetClient.query(/* sql */ `insert into t values (1)`);
  const work = testWork();
  expect(await refreshViews(migration, input, null, work)).toEqual({ views: 2 });
  expect(await scalar(db, 'select n from a_last')).toBe(2);
  await db.targetClient.query(/* sql */ `insert into t values (2)`);
  // Filled: not a second time before the cutover.
  await refreshViews(migration, input, null, testWork());
  expect(await scalar(db, 'select n from a_last')).toBe(2);
  await refreshViews(migration, input, FIRST, testWork());
  expect(await scalar(db, 'select n from a_last')).toBe(3);
  // An attempt whose answer was lost restarts for the same end mark: nothing is done twice.
  await db.targetClient.query(/* sql */ `insert into t values (3)`);
  await refreshViews(migration, input, FIRST, testWork());
  expect(await scalar(db, 'select n from a_last')).toBe(3);
  await refreshViews(migration, input, SECOND, testWork());
  expect(await scalar(db, 'select n from a_last')).toBe(4);
  expect(await scalar(db, `select relispopulated from pg_class where relname = 'never'`)).toBe(
    false,
  );
  expect(await scalar(db, `select reltuples from pg_class where relname = 'a_last'`)).toBe(1);
});

test('a view that the source fills after the schema was copied is filled at the cutover, with the views that depend on it', async () => {
  await using db = await freshPair();
  const { migration, input } = await schemaOf(
    db,
    /* sql */ `
    create table t (id int primary key);
    create materialized view late as select count(*)::int as n from t with no data;
    create materialized view over_late as select n + 1 as n from late with no data;
    create materialized view never as select * from t with no data;`,
  );
  await db.targetClient.query(/* sql */ `insert into t values (1)`);
  expect(await refreshViews(migration, input, null, testWork())).toEqual({ views: 0 });
  await db.sourceClient.query(
    /* sql */ `refresh materialized view late; refresh materialized view over_late`,
  );
  expect(await refreshViews(migration, input, FIRST, testWork())).toEqual({ views: 2 });
  expect(await scalar(db, 'select n from over_late')).toBe(2);
  expect(await scalar(db, `select relispopulated from pg_class where relname = 'never'`)).toBe(
    false,
  );
});

test('a view that reads another one through a function is filled after it', async () => {
  await using db = await freshPair();
  const { migration, input } = await schemaOf(
    db,
    /* sql */ `
    create table t (id int primary key);
    create function peek() returns int language plpgsql stable set search_path = public as 'begin return (select n from z_read); end';
    create materialized view a_reader as select peek() as n with no data;
    create materialized view z_read as select 7 as n;
    refresh materialized view a_reader;`,
  );
  expect(await refreshViews(migration, input, null, testWork())).toEqual({ views: 2 });
  expect(await scalar(db, 'select n from a_reader')).toBe(7);
});

test('a view whose function needs the sessions’ search_path, or whose owner is subject to row security, is filled as on the source', async () => {
  await using db = await freshPair();
  const role = /* sql */ `do $$ begin create role view_owner; exception when duplicate_object or unique_violation then null; end $$`;
  await db.sourceClient.query(role);
  await db.targetClient.query(role);
  const { migration, input } = await schemaOf(
    db,
    /* sql */ `
    create table secret (id int primary key, level int); grant select on secret to view_owner;
    alter table secret enable row level security; create policy low on secret using (level < 3);
    create function all_levels() returns bigint language sql stable as 'select sum(level) from secret';
    create materialized view visible as select id from secret; alter materialized view visible owner to view_owner;
    create materialized view summed as select all_levels() as n;
    -- If the role walferry owned it, "$user" would mean our own schema, which has a table of that name.
    create table migration (id int);
    create function migrations() returns bigint language sql stable as 'select count(*) from migration';
    create materialized view counted as select migrations() as n;`,
  );
  await db.targetClient.query(
    /* sql */ `insert into secret select i, i from generate_series(1, 5) i`,
  );
  await refreshViews(migration, input, null, testWork());
  expect(await scalar(db, 'select count(*)::int from visible')).toBe(2);
  expect(await scalar(db, 'select n::int from summed')).toBe(15);
  expect(await scalar(db, 'select n::int from counted')).toBe(0);
});

test('views that cannot be filled are named at once with their SQLSTATE and without the server text, the others are filled, and a retry continues', async () => {
  await using db = await freshPair();
  const { migration, input } = await schemaOf(
    db,
    /* sql */ `
    create table t (id int primary key, s text);
    create function far() returns int language plpgsql as
      $$ begin if current_database() like 'dst%' then raise sqlstate '08001'; end if; return 1; end $$;
    create materialized view a_bad as select s::int as n from t;
    create materialized view b_over as select n from a_bad;
    create materialized view far_away as select far() as n;
    create materialized view good as select count(*) from t;
    create materialized view over_good as select * from good;`,
  );
  await db.targetClient.query(/* sql */ `insert into t values (1, 'secret-4711')`);
  const error = await failure(refreshViews(migration, input, null, testWork()), 'SchemaFailed');
  // An unreachable foreign server or dblink in a query is not a lost connection of ours, which would be retried forever.
  for (const one of [
    'a_bad (SQLSTATE 22P02)',
    'b_over (SQLSTATE 55000)',
    'far_away (SQLSTATE 08001)',
  ]) {
    expect(error.message).toContain(`MATERIALIZED VIEW public.${one}`);
  }
  expect(error.message).not.toContain('good');
  expect(error.message).not.toContain('secret');
  expect(await scalar(db, 'select count from over_good')).toBe('1');
  await db.targetClient.query(/* sql */ `update t set s = '5'`);
  await db.targetClient.query(
    /* sql */ `create or replace function public.far() returns int language sql as 'select 2'`,
  );
  expect(await refreshViews(migration, input, null, testWork())).toEqual({ views: 5 });
  expect(await scalar(db, 'select n from b_over')).toBe(5);
});

test('a view that the operator excludes as the message says, or drops, no longer blocks anything and is named in the report', async () => {
  await using db = await freshPair();
  const { migration, input } = await schemaOf(
    db,
    /* sql */ `
    create table t (id int primary key, s text);
    create materialized view bad as select s::int as n from t;
    create materialized view worse as select s::int as n from t;
    create materialized view good as select count(*) from t;`,
  );
  await db.targetClient.query(/* sql */ `insert into t values (1, 'x')`);
  await failure(refreshViews(migration, input, null, testWork()), 'SchemaFailed');
  await db.targetClient.query('drop materialized view worse; create view worse as select 1');
  const { message } = await failure(
    refreshViews(migration, input, null, testWork()),
    'SchemaFailed',
  );
  expect(message).not.toContain('worse');
  const [statement = ''] =
    /update walferry\.\S+ set refresh = false where .*(?=;)/.exec(message) ?? [];
  expect((await db.targetClient.query(statement)).rowCount).toBe(1);
  const report = {
    views: 1,
    skipped: [
      'MATERIALIZED VIEW public.bad (excluded after SQLSTATE 22P02)',
      'MATERIALIZED VIEW public.worse (no longer on the target)',
    ],
  };
  expect(await refreshViews(migration, input, null, testWork())).toEqual(report);
  expect(await refreshViews(migration, input, FIRST, testWork())).toEqual(report);
  expect(await scalar(db, `select relispopulated from pg_class where relname = 'bad'`)).toBe(false);
  await db.targetClient.query('drop materialized view bad, good');
  expect((await refreshViews(migration, input, SECOND, testWork())).views).toBe(0);
});

test('a view that the operator excludes before its first fill stays empty, and one that the source fills later is filled', async () => {
  await using db = await freshPair();
  const { migration, input } = await schemaOf(
    db,
    /* sql */ `
    create table t (id int primary key);
    create materialized view out_early as select 1 as n;
    create materialized view filled_later as select 1 as n with no data;`,
  );
  await db.targetClient.query(
    /* sql */ `update walferry.schema_entry set refresh = false where name = 'out_early'`,
  );
  await db.sourceClient.query(/* sql */ `refresh materialized view filled_later`);
  expect((await refreshViews(migration, input, FIRST, testWork())).views).toBe(1);
  const populated = (name: string) =>
    scalar(db, `select relispopulated from pg_class where relname = '${name}'`);
  expect(await populated('filled_later')).toBe(true);
  expect(await populated('out_early')).toBe(false);
});
