/** What belongs to a selection: what is created for it, what is excluded with a table, and what is refused. */
import { expect, test } from 'vitest';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { compareColumns } from '../../../postgres/catalog/column-difference.ts';
import { readRelations, readRelationsNamed } from '../../../postgres/catalog/read-relations.ts';
import { findingsOf, only } from '../../support/preflight.ts';
import { serverOf } from '../../support/versions.ts';
import { readCreated } from '../../../postgres/preflight/facts/taken-name.ts';
import { readGone } from '../../../postgres/preflight/facts/unmoved.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { freshPair } from '../../support/database.ts';
import {
  buildFidelity,
  dumpLines,
  failure,
  inputOf,
  migrationOf,
  testWork,
} from './schema-fidelity.ts';

test('a pattern that is meant for other tables does not exclude the sequences of a selected table', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create schema app; create table app.events (id bigint generated always as identity primary key, n serial, v int);
    create sequence app.events_owned owned by app.events.v; create sequence app.events_used; create sequence app.events_free;
    alter table app.events alter v set default nextval('app.events_used');
    create table app.events_2019 (id serial); create view app.events_seen as select 1 as one`);
  const tables = { exclude: ['app.events_*'] };
  const { tables: selection } = inputOf(db, { tables });
  const oids = (await readRelations(db.sourceClient, selection)).map(({ oid }) => oid);
  const gone = await readGone(db.sourceClient, oids);
  expect(
    (await readCreated(db.sourceClient, oids, gone, selection))
      .filter(({ catalog }) => catalog === 'relation')
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['events_id_seq', 'events_n_seq', 'events_owned', 'events_pkey', 'events_used']);
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db, { tables }), testWork());
  await db.sourceClient.query(`insert into app.events default values`);
  await setSequences(migration, inputOf(db, { tables }));
  const { rows } = await db.targetClient.query(`insert into app.events default values returning *`);
  expect(rows).toEqual([{ id: '2', n: 2, v: 2 }]);
  const there = await db.targetClient.query<{ name: string }>(
    `select relname::text as name from pg_class where relnamespace = 'app'::regnamespace and relkind <> 'i' order by 1`,
  );
  expect(there.rows.map(({ name }) => name)).toEqual([
    'events',
    'events_id_seq',
    'events_n_seq',
    'events_owned',
    'events_used',
  ]);
});

test('a child’s column that accepts nulls under a NOT NULL parent does so on the target, too', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create schema app; create table app.par (a int not null, "B c" int not null, primary key (a));
    create table app.chd (v int) inherits (app.par); alter table app.chd alter a drop not null, alter "B c" drop not null;
    create table app.own (a int) inherits (app.par); alter table only app.own alter a drop not null;
    create table app.grand () inherits (app.chd); alter table only app.grand alter "B c" set not null;
    create table app.strict () inherits (app.par)`);
  const migration = migrationOf(db);
  await copySchema(migration, inputOf(db), testWork());
  const nullable = async (client: typeof db.sourceClient) =>
    (
      await client.query<{ relname: string; attname: string; attnotnull: boolean }>(/* sql */ `
        select c.relname, a.attname, a.attnotnull from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.relnamespace = 'app'::regnamespace and c.relkind = 'r' and a.attnum > 0 order by 1, 2`)
    ).rows;
  expect(await nullable(db.targetClient)).toEqual(await nullable(db.sourceClient));
  const { tables } = inputOf(db);
  const here = await readRelations(db.sourceClient, tables);
  expect(compareColumns(here, await readRelationsNamed(db.targetClient, here))).toEqual([]);
});

const on18 = findOther(18);

test.skipIf(!on18)(
  'to version 18 such a child is refused, with the column and what to change on the source',
  async () => {
    if (!on18) return;
    await using server = await serverOf('target', on18);
    await using db = await freshPair({ target: server });
    await db.sourceClient.query(/* sql */ `
    create table par (a int not null, id int primary key); create table chd (primary key (id)) inherits (par);
    alter table only chd alter a drop not null`);
    const errors = (await findingsOf(db)).filter(({ level }) => level === 'error');
    const found = only(errors, 'nullable-child');
    expect(errors).toEqual([found]);
    expect(found.message).toContain('public.chd.a');
    const [fix = ''] = /alter table only [^;]*/.exec(found.action ?? '') ?? [];
    await db.sourceClient.query(fix);
    expect((await findingsOf(db)).filter(({ level }) => level === 'error')).toEqual([]);
  },
);

test('a table that is excluded excludes what depends on it, and nothing else', async () => {
  await using db = await freshPair();
  await buildFidelity(db.sourceClient, db.targetClient);
  const migration = migrationOf(db);
  const input = inputOf(db, {
    tables: {
      exclude: ['app.order', 'app.measure_2020', 'app.free_seq', '"Odd; Schema"."ta ""b.c"'],
    },
  });
  const work = testWork();
  const report = await copySchema(migration, input, work);
  await buildIndexes(migration, input, work);
  await buildConstraints(migration, input, work);
  await enableTriggers(migration);

  const source = await dumpLines(db.source);
  const target = await dumpLines(db.target);
  const missing = source.filter((line) => !target.includes(line)).join('\n');
  expect(target.filter((line) => !source.includes(line))).toEqual([]);
  for (const gone of [
    'app."order"',
    'app.v1',
    'app.mv ',
    'measure_2020',
    'free_seq',
    'idx; odd',
    'ta ""b.c"',
    'app.st',
  ]) {
    expect(missing).toContain(gone);
    expect(target.join('\n')).not.toContain(gone);
  }
  // Longer names with the same beginning, the rest of a partitioned table and a view over another table stay.
  for (const stays of [
    '"ta ""b.c d"',
    'app.measure_2021',
    'app.vgrp',
    'app.mv_late',
    'app.touch',
  ]) {
    expect(target.join('\n')).toContain(stays);
  }
  // Objects that the input did not name are named; not what belongs to a table that it named.
  expect(report.leftOut).toEqual({
    excluded: [
      'VIEW app.v1',
      'MATERIALIZED VIEW app.mv',
      'MATERIALIZED VIEW app.mv2',
      'FK CONSTRAINT app.mref mref_at_mid_fkey',
    ],
    never: ['PUBLICATION pub'],
    unselected: ['TABLE Odd; Schema.ta "b.c', 'TABLE app.measure_2020', 'TABLE app.order'],
    unvalidated: ['CHECK app.customer.old_rows_may_differ'],
    more: 0,
  });
  // A repeated report, after a lost answer, is the same.
  expect(await copySchema(migration, input, work)).toEqual(report);
});

test('a selected table keeps the sequence of its default whatever owns it', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table owner_table (id serial);
    create table user_table (id int default nextval('owner_table_id_seq'), n int)`);
  const input = inputOf(db, { tables: { exclude: ['public.owner_table'] } });
  await copySchema(migrationOf(db), input, testWork());
  const { rows } = await db.targetClient.query(
    /* sql */ `insert into user_table (n) values (1) returning id`,
  );
  expect(rows).toEqual([{ id: 1 }]);
});

test('a table whose parent is excluded is refused with both names, before anything is created', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table odd_type (a int); create table user_table (b odd_type)`);
  const before = await dumpLines(db.target);
  const input = inputOf(db, { tables: { exclude: ['public.odd_type'] } });
  const error = await failure(copySchema(migrationOf(db), input, testWork()), 'SchemaFailed');
  expect(error.message).toContain('TABLE public.user_table needs TABLE public.odd_type');
  expect(await dumpLines(db.target)).toEqual(before);
  const none = inputOf(db, { tables: { include: ['nothing.*'] } });
  await failure(copySchema(migrationOf(db), none, testWork()), 'SchemaFailed');
});

test('owners and grants are carried over only when requested', async () => {
  await using db = await freshPair();
  await buildFidelity(db.sourceClient, db.targetClient);
  const input = inputOf(db, { schema: { owners: false, grants: false } });
  await copySchema(migrationOf(db), input, testWork());
  const target = (await dumpLines(db.target)).join('\n');
  expect(target).not.toContain('fidelity_owner');
  expect(target).not.toContain('fidelity_reader');
});
