/** What the comparison of definitions covers: the selection, another version's words, DDL that runs meanwhile. */
import { expect, test } from 'vitest';
import { compareDefinitions } from '../../../postgres/definition/compare-definitions.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { registered } from '../../support/control.ts';
import { freshPair } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { serverOf } from '../../support/versions.ts';
import { inputOf, migrationOf, testWork } from '../schema/schema-fidelity.ts';

const SELECTED = /* sql */ `
  create extension hstore;
  create table kept (id int primary key, n int); create table gone (id int primary key, kept int references kept);
  create table child (id int primary key, gone int references gone);
  create view on_kept as select id from kept; create view on_gone as select id from gone; create view on_both as select id from on_gone;
  create materialized view of_gone as select id from gone; create function takes(gone) returns int language sql as 'select 1';
  create view attributes as select 'a=>1'::hstore as h; create sequence counter; create sequence scratch;
  create table rooted (id int) partition by range (id); create table rooted_1 partition of rooted for values from (0) to (9);`;

test('what the selection leaves out is no difference, nor is what depends on it; what remains is compared', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SELECTED);
  await db.targetClient.query(`create table rooted (id int, more int)`);
  const migration = migrationOf(db);
  const tables = { exclude: ['public.gone', 'public.scratch', 'public.rooted'] };
  const input = inputOf(db, { tables, ignore: { extensions: ['hstore'] } });
  await copySchema(migration, input, testWork());
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  expect(await compareDefinitions(migration, input)).toEqual([]);
  // The operator's own on the target: they are not part of the migration.
  await db.targetClient.query(
    /* sql */ `create view on_gone as select 1 as id; create function own() returns int language sql as 'select 1'`,
  );
  expect(await compareDefinitions(migration, input)).toEqual([]);
  // What walferry created and the source has dropped since, and the reverse.
  await db.sourceClient.query(
    /* sql */ `drop view on_kept; drop sequence counter; create view fresh as select n from kept`,
  );
  expect(
    (await compareDefinitions(migration, input)).map(({ object, what, run }) => [
      object,
      what,
      run,
    ]),
  ).toEqual([
    [
      'public.fresh',
      'is on the source only',
      expect.stringMatching(/^create or replace view public\.fresh as/),
    ],
    ['public.on_kept', 'is on the target only', 'drop view public.on_kept;'],
    ['sequence public.counter', 'is on the target only', 'drop sequence public.counter;'],
  ]);
});

test('DDL that arrives on both sides while they are compared is no difference', async () => {
  await using db = await freshPair();
  const both = /* sql */ `create table t (id int primary key, v text)`;
  await db.sourceClient.query(both);
  await db.targetClient.query(both);
  const migration = await registered(db);
  const input = inputOf(db);
  await db.sourceClient.query(
    /* sql */ `create index t_v on t (v); alter table t add column w int`,
  );
  const comparing = compareDefinitions(migration, input);
  // The first look has ended: its session waits.
  await until('the first comparison to end', async () => {
    const { rows } = await db.sourceClient.query<{ ended: boolean }>(/* sql */ `
      select count(*) > 0 as ended from pg_stat_activity where datname = current_database() and application_name like 'walferry definition%'
         and state = 'idle' and clock_timestamp() - state_change > interval '300 ms'`);
    return rows[0]?.ended === true ? true : null;
  });
  await db.targetClient.query(
    /* sql */ `create index t_v on t (v); alter table t add column w int`,
  );
  expect(await comparing).toEqual([]);
  await db.sourceClient.query(/* sql */ `drop index t_v`);
  expect(await compareDefinitions(migration, input)).toMatchObject([
    { object: 'public.t: index t_v' },
  ]);
});

test('tables that the operator created are compared, with their parts, and nothing else is', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table t (id serial primary key, v varchar(10) default 'a'); create index t_v on t (v); comment on table t is 'mine';
    create view seen as select id from t; create function f() returns int language sql as 'select 1'`);
  await db.targetClient.query(/* sql */ `create table t (id serial primary key, v varchar(10))`);
  const migration = migrationOf(db);
  const input = inputOf(db);
  await copySchema(migration, input, testWork());
  expect(
    (await compareDefinitions(migration, input)).map(({ object, what }) => `${object} ${what}`),
  ).toEqual([
    'public.t: default of column v is on the source only',
    'public.t: index t_v is on the source only',
  ]);
});

const other = findOther(18);

test.skipIf(!other)(
  'a newer target that prints views and constraints in its own words shows no difference, and a changed one does',
  async () => {
    if (!other) return;
    await using server = await serverOf('target', other);
    await using db = await freshPair({ target: server });
    const both = /* sql */ `
    create table t (id int primary key, a int not null, b text default 'x' || 1, at timestamptz, check (a between 1 and 9 and b is not null));
    create view v as select t.id, t.a, (select max(u.a) from t u where u.id < t.id) as m from t where t.b = any (array['x', 'y']) or t.at at time zone 'UTC' > '2020-01-01';
    create materialized view m as select v.id, count(*) from v group by v.id; create index m_id on m (id);
    create function f(n int) returns int language sql begin atomic select n + 1; end`;
    await db.sourceClient.query(both);
    await db.targetClient.query(both);
    const print = `select pg_get_viewdef('v'::regclass) as text`;
    const [here, there] = [await db.sourceClient.query(print), await db.targetClient.query(print)];
    // Otherwise the test shows nothing.
    expect(here.rows).not.toEqual(there.rows);
    const migration = await registered(db);
    expect(await compareDefinitions(migration, inputOf(db))).toEqual([]);
    await db.targetClient.query(/* sql */ `
    create or replace view public.v as select t.id, t.a, (select min(u.a) from t u where u.id < t.id) as m from t;
    alter table t drop constraint t_check; alter table t add constraint t_check check (a between 1 and 8 and b is not null)`);
    expect(
      (await compareDefinitions(migration, inputOf(db))).map(
        ({ object, what }) => `${object} ${what}`,
      ),
    ).toEqual(['public.t: constraint t_check differs', 'public.v differs in its definition']);
  },
);
