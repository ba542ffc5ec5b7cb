/** The fidelity suite's comparison reports every kind of difference: without this test, an empty result would prove nothing. */
import { expect, test } from 'vitest';
import { compareCatalogs, PIN, readCatalogs } from '../../support/fidelity/catalog.ts';
import { compareSequences, compareTable, readTables } from '../../support/fidelity/rows.ts';
import { freshPair } from '../../support/database.ts';

const SCHEMA = /* sql */ `
  create schema hall;
  create type hall.mood as enum ('a', 'b');
  create table hall.t (id int primary key, v text default 'x', n numeric, j json, c char(5), m hall.mood);
  create table hall.zero ();
  create index t_v on hall.t (v);
  create function hall.f() returns trigger language plpgsql as 'begin return new; end';
  create trigger tr before insert on hall.t for each row execute function hall.f();
  create sequence hall.s;
  create view hall.w as select id from hall.t;
  create materialized view hall.mv as select count(*) from hall.t;
  alter table hall.t enable row level security;
  create policy p on hall.t using (id > 0);
  comment on column hall.t.v is 'first';
  comment on trigger tr on hall.t is 'note';
  create statistics hall.st on v, n from hall.t;
  insert into hall.t values (1, 'a', 1.0, '{"a":1}', 'q', 'a'), (2, null, 'NaN', null, null, null), (2 + 1, '', 0, '1', '', 'b');
  insert into hall.zero default values;`;

async function differences(change: string): Promise<string[]> {
  await using pair = await freshPair();
  for (const client of [pair.sourceClient, pair.targetClient]) await client.query(SCHEMA + PIN);
  await pair.targetClient.query(change);
  const found: string[] = [];
  for (const table of await readTables(pair.sourceClient, ['hall'])) {
    found.push(...(await compareTable(pair.sourceClient, pair.targetClient, table)));
  }
  found.push(...(await compareSequences(pair.sourceClient, pair.targetClient, ['hall'])));
  const [left, right] = [
    await readCatalogs(pair.sourceClient, ['hall']),
    await readCatalogs(pair.targetClient, ['hall']),
  ];
  return [...found, ...compareCatalogs(left.get('hall'), right.get('hall'))];
}

test('two databases with the same contents compare as equal', async () => {
  expect(await differences('select')).toEqual([]);
});

test.each([
  ['a missing zero', `update hall.t set n = 1 where id = 1`, /hall\.t: 3 rows/],
  ['a space in json', `update hall.t set j = '{"a": 1}' where id = 1`, /hall\.t/],
  ['null and an empty text', `update hall.t set v = '' where id = 2`, /hall\.t/],
  ['an extra row', `insert into hall.t values (9)`, /hall\.t: 3 rows, 4 on the target/],
  ['a missing row in a table without columns', `delete from hall.zero`, /hall\.zero/],
  [
    'a materialized view that was refreshed at another time',
    `delete from hall.t where id = 1; refresh materialized view hall.mv`,
    /hall\.mv/,
  ],
  [
    'a sequence that went on',
    `select nextval('hall.s'), nextval('hall.s')`,
    /sequence hall\.s stands at 2/,
  ],
  ['options of a sequence', `alter sequence hall.s increment 2`, /sequence: sequence s/],
  [
    'a default',
    `alter table hall.t alter v set default 'y'`,
    /column: column t\.v: .*default 'y'::text/,
  ],
  ['a type', `alter table hall.t alter n type numeric(9, 2) using null`, /column t\.n/],
  ['a missing index', `drop index hall.t_v`, /index t_v: missing/],
  [
    'a disabled trigger',
    `alter table hall.t disable trigger tr`,
    /trigger: trigger tr on t: .*enabled D/,
  ],
  ['a right', `grant select on hall.t to public`, /relation t/],
  ['a policy', `alter policy p on hall.t using (id > 1)`, /policy p on t/],
  ['row security', `alter table hall.t disable row level security`, /relation t/],
  [
    'a comment on a column',
    `comment on column hall.t.v is 'second'`,
    /comment on table column hall\.t\.v/,
  ],
  [
    'a comment on a trigger',
    `comment on trigger tr on hall.t is null`,
    /comment on trigger tr on hall\.t: missing/,
  ],
  [
    'a view',
    `create or replace view hall.w as select id + 0 as id from hall.t`,
    /rule "_RETURN" on w/,
  ],
  ['a label of an enum', `alter type hall.mood add value 'c'`, /type hall\.mood/],
  [
    'the body of a function',
    `create or replace function hall.f() returns trigger language plpgsql as 'begin return old; end'`,
    /routine hall\.f\(\)/,
  ],
  ['statistics', `drop statistics hall.st`, /statistics st: missing/],
  [
    'an object of another kind',
    `create collation hall.co from "C"`,
    /collation hall\.co: only on the target/,
  ],
  [
    'an owner',
    `create role fidelity_other; alter table hall.t owner to fidelity_other`,
    /relation t: .*fidelity_other/,
  ],
])('the comparison reports %s', async (_, change, message) => {
  expect((await differences(change)).join('\n')).toMatch(message);
});
