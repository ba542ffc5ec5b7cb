/** Rows that violate what is to be built are reported together, with their count and the query that lists them. */
import { expect, test } from 'vitest';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { dumpLines, failure, inputOf, migrationOf, testWork } from './schema-fidelity.ts';

const SECRET = 'secret-value-4711';

const SCHEMA = /* sql */ `
create schema "Odd. S";
create table plain (id int primary key, mail text, code text collate "C", n int, b int, note text);
alter table plain add constraint mail_once unique (mail), add constraint pair_once unique (n, b);
create unique index by_expression on plain (lower(code), (n % 100)) where note is null;
create unique index with_nulls on plain (note) nulls not distinct;
create index innocent on plain (n);
create table "Odd. S"."t ""q" ("Key. 1" int, "walferry" text, constraint "odd ""one" primary key ("Key. 1"));
create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create table cased (word text collate loose unique, strict text);
create unique index strict_loose on cased (strict collate loose);
create table span (during int4range, room int, kind text,
  constraint no_overlap exclude using gist (during with &&, int4range(room, room, '[]') with =) where (kind <> 'draft'));
create table sub (at int not null, id int not null, primary key (at, id)) partition by range (at);
create table sub_1 partition of sub for values from (0) to (100);
create table sub_2 partition of sub for values from (100) to (200);
create table child (id int primary key, parent int references plain, sub_at int, sub_id int,
  constraint to_parts foreign key (sub_at, sub_id) references sub match full,
  constraint to_self foreign key (id) references child deferrable);
comment on constraint child_parent_fkey on child is 'depends on what cannot be built';
create table parted (id int, parent bigint references plain) partition by list (id);
create table parted_1 partition of parted for values in (1);
`;

/** The target as an operator might have left it: the schema is there, without its indexes and constraints. */
const ROWS = /* sql */ `
insert into plain values
  (1, '${SECRET}', 'A', 1, null, 'x'), (2, '${SECRET}', 'a', 101, null, 'y'), (3, '${SECRET}', 'A', 1, 5, null), (4, null, 'a', 101, 6, null),
  (5, null, 'c', 1, null, null), (6, 'm', 'd', 7, 7, 'z'), (7, 'n', 'e', 7, 7, 'zz');
insert into "Odd. S"."t ""q" values (1, 'a'), (1, '${SECRET}'), (2, 'b');
insert into cased values ('word', 'x'), ('WORD', 'X'), ('other', 'y');
insert into span values ('[1,5)', 1, 'firm'), ('[4,8)', 1, 'firm'), ('[4,8)', 2, 'firm'), ('[4,8)', 1, 'draft'), (null, 1, 'firm');
insert into sub values (1, 1), (1, 1), (150, 1);
insert into child values (1, 1, 1, 1), (2, 99, null, null), (3, null, 1, null), (4, null, 150, 99), (5, null, null, null);
insert into parted values (1, 3), (1, 98), (1, null);
`;

/** What the reported query finds on the target. */
async function listed(db: FreshPair, query: string): Promise<number | null> {
  return (await db.targetClient.query(query)).rowCount;
}

const STORED = /* sql */ `
select name, broken_rows::int as rows, broken_query as query from walferry.schema_entry
 where broken_query is not null and done_at is null order by name`;

interface Stored {
  name: string;
  rows: number;
  query: string;
}

test('unique and exclusion constraints that rows violate wait until the rows are fixed, primary keys are reported at once, the others are built', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  const migration = migrationOf(db);
  const input = inputOf(db);
  await copySchema(migration, input, testWork());
  await db.targetClient.query(ROWS);

  const work = testWork();
  const error = await failure(buildIndexes(migration, input, work), 'ConstraintFailed');
  const { rows } = await db.targetClient.query<Stored>(STORED);
  expect(rows.map(({ name, rows }) => [name, rows])).toEqual([
    ['by_expression', 2],
    ['cased cased_word_key', 2],
    ['plain mail_once', 3],
    ['plain pair_once', 2],
    ['span no_overlap', 2],
    ['strict_loose', 2],
    ['sub_1 sub_1_pkey', 2],
    ['t "q odd "one', 2],
    ['with_nulls', 3],
  ]);
  for (const { query, rows: counted } of rows) expect(await listed(db, query)).toBe(counted);
  // The stream needs primary keys. The others can wait until it has applied the fix.
  expect(error.message).toMatch(/^2 constraints are broken by rows: 1\. /);
  expect(error.message).toContain(
    'select name, broken_rows, broken_query from walferry.schema_entry',
  );
  expect(error.message.length).toBeLessThan(4_000);
  const shown = JSON.stringify([error.message, error.details, work.notes, work.beats]);
  expect(shown).not.toContain(SECRET);
  // The results of hour-long builds are kept.
  const built = await db.targetClient.query(
    /* sql */ `select from pg_class where relname in ('innocent', 'plain_pkey', 'sub_2_pkey')`,
  );
  expect(built.rowCount).toBe(3);

  await db.targetClient.query(/* sql */ `
    delete from sub where at = 1; delete from "Odd. S"."t ""q" where "Key. 1" = 1; truncate child, parted`);
  await buildIndexes(migration, input, work);
  const later = await failure(buildConstraints(migration, input, work), 'ConstraintFailed');
  expect(later.message).toMatch(/^7 constraints are broken by rows: 1\. /);
  await db.targetClient.query(/* sql */ `
    delete from plain where id in (2, 3, 4, 7); update plain set note = 'only' where id = 1; delete from cased; delete from span`);
  await buildConstraints(migration, input, work);
  expect((await db.targetClient.query(STORED)).rows).toEqual([]);
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
});

test('foreign keys that rows violate are reported at once, and a retry after the fix builds them', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  const migration = migrationOf(db);
  const input = inputOf(db);
  await copySchema(migration, input, testWork());
  await buildIndexes(migration, input, testWork());
  await db.targetClient.query(/* sql */ `
    insert into plain (id, note) values (1, 'x'), (3, 'y'); insert into sub values (1, 1), (150, 1);
    insert into child values (1, 1, 1, 1), (2, 99, null, null), (3, null, 1, null), (4, null, 150, 99), (5, null, null, null);
    insert into parted values (1, 3), (1, 98), (1, null)`);
  await failure(buildConstraints(migration, input, testWork()), 'ConstraintFailed');
  const { rows } = await db.targetClient.query<Stored>(STORED);
  expect(rows.map(({ name, rows }) => [name, rows])).toEqual([
    ['child child_parent_fkey', 1],
    ['child to_parts', 2],
    ['parted parted_parent_fkey', 1],
  ]);
  for (const { query, rows: counted } of rows) expect(await listed(db, query)).toBe(counted);
  await db.targetClient.query(/* sql */ `
    update child set parent = null where id = 2; update child set sub_at = null, sub_id = null where id in (3, 4);
    delete from parted where parent = 98`);
  await buildConstraints(migration, input, testWork());
  expect((await db.targetClient.query(STORED)).rows).toEqual([]);
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
});

test('when the source no longer has the definition, the constraint is reported without its query', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `create table t (id int, constraint once unique (id))`);
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  await db.sourceClient.query(/* sql */ `alter table t drop constraint once`);
  // Without its object on record, nothing shows that the source has dropped it.
  await db.targetClient.query(/* sql */ `insert into t values (1), (1);
    update walferry.schema_entry set source_class = null, source_oid = null`);
  await buildIndexes(migration, inputOf(db), testWork());
  const error = await failure(
    buildConstraints(migration, inputOf(db), testWork()),
    'ConstraintFailed',
  );
  expect(error.details).toEqual({
    object: 'CONSTRAINT once on public.t',
    table: 'public.t',
    constraint: 'once',
    sqlstate: '23505',
  });
});

test('a query that is pages long is stored on the target, and the message says where', async () => {
  await using db = await freshPair();
  const names = Array.from({ length: 400 }, (_, i) => `'name number ${i}'`).join(', ');
  await db.sourceClient.query(/* sql */ `
    create table t (id int, name text);
    create unique index once on t (id) where name not in (${names})`);
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  await db.targetClient.query(/* sql */ `insert into t values (1, 'a'), (1, 'b')`);
  await buildIndexes(migration, inputOf(db), testWork());
  const { message, details } = await failure(
    buildConstraints(migration, inputOf(db), testWork()),
    'ConstraintFailed',
  );
  expect(message.length).toBeLessThan(500);
  expect(message).toContain('INDEX public.once');
  expect(message).toContain('2 rows break it');
  expect(details).toMatchObject({ rows: '2' });
  expect(JSON.stringify(details).length).toBeLessThan(500);
  const [where = ''] = /select broken_query from .*$/.exec(message) ?? [];
  const { rows } = await db.targetClient.query<{ broken_query: string }>(where);
  expect(rows[0]?.broken_query.length).toBeGreaterThan(5_000);
  expect(await listed(db, rows[0]?.broken_query ?? '')).toBe(2);
});
