/**
 * The complete main case: copy and stream under load, cut over, nothing lost, nothing left behind.
 */
import { expect, test } from 'vitest';
import { BY_DEFAULT, Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { until } from '../support/until.ts';

test('a database under constant writes arrives complete, with its sequences', async () => {
  await using lab = await Lab.open(`${LOAD_TABLES}
    create table parent (id int primary key, name text unique);
    create table child (id int primary key, parent int references parent, unique (parent, id));
    insert into parent select i, 'p' || i from generate_series(1, 100) i;
    insert into child select i, i % 100 + 1 from generate_series(1, 1000) i;
    create index on child (parent);
    create sequence unowned start 77 increment 3;
    select nextval('unowned');
    create view cheap as select * from item where price < 10;`);
  await lab.worker();
  const load = lab.load();
  await lab.start(BY_DEFAULT);
  await lab.phase('stream');
  const atStream = load.committed;
  await until('more load to be committed while streaming', () => load.committed > atStream + 200);
  await lab.onSource(`select nextval('unowned') from generate_series(1, 5)`);
  await lab.finish();
  const constraints = await lab.onTarget<{ n: number }>(
    `select count(*)::int as n from pg_constraint where contype in ('p', 'u', 'f') and convalidated
     and connamespace = 'public'::regnamespace`,
  );
  expect(constraints).toEqual([{ n: 8 }]);
  const views = await lab.onTarget(`select 1 from pg_views where viewname = 'cheap'`);
  expect(views).toHaveLength(1);
});

test('values that neither JavaScript nor JSON can represent arrive exactly, copied and streamed', async () => {
  const rows = (first: number) => `insert into fidelity values
    (${first}, 9223372036854775807, 1.10, 'NaN', 'Infinity', '\\x00ff', '2020-01-01 00:00:00.123456+02', '{1,NULL,3}',
     '{"b": 1.0,  "a": [1e2], "a": 2}', '{"n": 1.10}', 'tab\ttick''s "value":12 back\\slash', '-infinity', true, 1e-7),
    (${first + 1}, -9223372036854775808, ${'9'.repeat(60)}.${'1'.repeat(40)}, '-Infinity', 'NaN', '', 'infinity', '[0:1]={"",x}',
     '[]', 'null', '', '0044-03-15 BC', false, '-0'),
    (${first + 2}, null, 'NaN', null, null, null, null, null, null, null, null, null, null, null)`;
  await using lab = await Lab.open(`
    create table fidelity (id int primary key, big bigint, num numeric, f8 float8, f4 float4, raw bytea,
      at timestamptz, list text[], doc json, docb jsonb, words text, day date, yes boolean, tiny float8);
    ${rows(1)};`);
  await lab.worker();
  await lab.start(BY_DEFAULT);
  await lab.phase('stream');
  await lab.onSource(rows(10));
  await lab.onSource(`update fidelity set id = id + 100 where id in (1, 10)`);
  await lab.onSource(`update fidelity set num = 'NaN', f8 = 'Infinity' where id = 3`);
  await lab.onSource(`update fidelity set words = words || E'\\\\n' where id in (2, 11)`);
  await lab.finish();
});
