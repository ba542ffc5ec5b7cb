/** What belongs to a selection, and what may exist on the target before. */
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
import { undoSchema } from '../../../postgres/schema/undo-schema.ts';
import { freshPair } from '../../support/database.ts';
import {
  buildFidelity,
  buildRoles,
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

const TABLES = /* sql */ `
  create table a (id int primary key, t text); create table b (id int, n bigint);
  create function fire() returns trigger language plpgsql as 'begin return new; end';
  create trigger always before insert on a for each row execute function fire();
  alter table a enable always trigger always;`;

test('existing empty tables are used, and their ENABLE ALWAYS triggers are disabled until the cutover', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(TABLES);
  await db.targetClient.query(TABLES);
  const migration = migrationOf(db);
  const input = inputOf(db, {
    tables: { exclude: ['public.unselected'] },
    ignore: { largeObjects: true, extensionRows: true, extensions: ['citext'] },
  });
  const before = await dumpLines(db.target);
  // Extensions and event triggers are not mentioned: those of the target belong to the operator.
  await db.sourceClient
    .query(/* sql */ `select lo_create(0); create publication pub; create extension citext;
    create table unselected (id int); create extension hstore; create table conf (id int);
    alter extension hstore add table conf; insert into conf values (1);
    update pg_extension set extconfig = array['conf'::regclass::oid], extcondition = array['']
     where extname = 'hstore'`);
  const leftOut = {
    ...{ excluded: [], never: ['PUBLICATION pub'], more: 0 },
    accepted: ['1 large object', 'rows of public.conf (extension hstore)'],
    unselected: ['TABLE public.unselected'],
  };
  const later = { indexes: 0, constraints: 0 };
  const report = { created: false, tables: 2, statements: 0, later, leftOut };
  expect(await copySchema(migration, input, testWork())).toEqual(report);
  expect(await copySchema(migration, input, testWork())).toEqual(report);
  const enabled = /* sql */ `select from pg_trigger where tgenabled = 'A'`;
  expect((await db.targetClient.query(enabled)).rowCount).toBe(0);
  expect(await buildIndexes(migration, input, testWork())).toEqual({
    ...{ indexes: 0, constraints: 0, built: 0, total: 0 },
  });
  await buildConstraints(migration, input, testWork());
  await undoSchema(migration);
  expect(await dumpLines(db.target)).toEqual(before);
  expect((await db.targetClient.query(enabled)).rowCount).toBe(1);
});

test('a root that partitions go through stays as the operator created it; its dependent objects are created, its partitions are not', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create type state as enum ('new', 'old');
    create table other (id int primary key);
    create table m (id serial, k int, s state default 'new', ref int references other, own int default 1,
      primary key (id, k), constraint small check (k < 1000)) partition by range (k);
    create table m_1 partition of m for values from (0) to (100);
    create table m_2 partition of m for values from (100) to (200) partition by hash (id);
    create table m_2_0 partition of m_2 for values with (modulus 1, remainder 0);
    create index on m (s); create statistics m_ks on k, ref from m; comment on table m is 'partitioned';
    alter table m enable row level security; create policy p on m using (true); grant select on m to public;
    create function touch() returns trigger language plpgsql as 'begin return new; end';
    create trigger touched before insert on m for each row execute function touch();
    create view seen as select m.id, other.id as other from m join other on other.id = m.ref;
    create view one_part as select * from m_1;
    create table note (id int primary key, m_id int, m_k int, foreign key (m_id, m_k) references m)`);
  const given = /* sql */ `
    create type state as enum ('new', 'old');
    create table m (k int, id int, s state, ref int, own int, primary key (id, k));
    create function fire() returns trigger language plpgsql as 'begin return new; end';
    create trigger always before insert on m for each row execute function fire();
    alter table m enable always trigger always`;
  await db.targetClient.query(given);
  const before = await dumpLines(db.target);
  const migration = migrationOf(db);
  const input = inputOf(db, { tables: { viaPartitionRoot: ['public.m'] } });
  const report = await copySchema(migration, input, testWork());
  expect(report).toMatchObject({
    created: true,
    tables: 2,
    leftOut: { excluded: ['VIEW public.one_part'] },
  });
  const enabled = /* sql */ `select from pg_trigger where tgenabled = 'A'`;
  expect((await db.targetClient.query(enabled)).rowCount).toBe(0);
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  await enableTriggers(migration);
  const added = (await dumpLines(db.target)).filter((line) => !before.includes(line)).join('\n');
  expect(added).toMatch(/VIEW public.seen/);
  expect(added).toMatch(/note_m_id_m_k_fkey FOREIGN KEY/);
  expect(added).toMatch(/FUNCTION public.touch/);
  for (const his of [
    'm_1',
    'm_2',
    'm_id_seq',
    'm_s_idx',
    'm_ks',
    'touched',
    'partitioned',
    'SECURITY',
  ]) {
    expect(added).not.toContain(his);
  }
  await undoSchema(migration);
  expect(await dumpLines(db.target)).toEqual(before);
});

test('a root that is missing or has rows is refused before anything is created', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table m (id int primary key) partition by range (id);
    create table m_1 partition of m for values from (0) to (100); create table n (id int primary key)`);
  const migration = migrationOf(db);
  const input = inputOf(db, { tables: { viaPartitionRoot: ['public.m'] } });
  const before = await dumpLines(db.target);
  const absent = await failure(copySchema(migration, input, testWork()), 'SchemaFailed');
  expect(absent.message).toContain('public.m; create them there');
  expect(await dumpLines(db.target)).toEqual(before);
  await db.targetClient.query(/* sql */ `create table m (id int primary key) partition by hash (id);
    create table h partition of m for values with (modulus 1, remainder 0); insert into m values (1)`);
  const filled = await failure(copySchema(migration, input, testWork()), 'SchemaFailed');
  expect(filled.message).toContain('hold rows: public.m');
  await db.targetClient.query(/* sql */ `truncate m; alter table m rename id to other`);
  const differs = await failure(copySchema(migration, input, testWork()), 'SchemaDrift');
  expect(differs.message).toContain('public.m.id is missing on the target');
});

test('tables that are partitioned differently on the target are refused by name before anything is created', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table part (id int primary key) partition by range (id); create table part_1 partition of part for values from (0) to (9);
    create table whole (id int primary key)`);
  const migration = migrationOf(db);
  await db.targetClient.query(
    /* sql */ `create table part (id int primary key); create table whole (id int primary key)`,
  );
  const leaves = await failure(copySchema(migration, inputOf(db), testWork()), 'SchemaFailed');
  expect(leaves.message).toContain('public.part_1 are missing');
  await db.targetClient.query(/* sql */ `create table part_1 (id int primary key)`);
  const root = await failure(copySchema(migration, inputOf(db), testWork()), 'SchemaDrift');
  expect(root.message).toContain(
    'public.part is a partitioned table on the source, a table on the target',
  );
  await db.targetClient.query(/* sql */ `drop table part, part_1, whole;
    create table part (id int primary key) partition by range (id); create table part_1 partition of part for values from (0) to (9);
    create table whole (id int primary key) partition by range (id)`);
  const other = await failure(copySchema(migration, inputOf(db), testWork()), 'SchemaDrift');
  expect(other.message).toContain(
    'public.whole is a table on the source, a partitioned table on the target',
  );
});

test('tables with rows, only some of the tables, other columns, and other objects are refused by name, and nothing is left', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(TABLES);
  const migration = migrationOf(db);
  const attempt = async (code: 'SchemaFailed' | 'SchemaDrift', name: string) => {
    const error = await failure(copySchema(migration, inputOf(db), testWork()), code);
    expect(error.message).toContain(name);
    const control = await db.targetClient.query(
      /* sql */ `select from pg_namespace where nspname = 'walferry'`,
    );
    expect(control.rowCount).toBe(0);
  };
  await db.targetClient.query(/* sql */ `create view a as select 1`);
  await attempt('SchemaFailed', 'public.a');
  await db.targetClient.query(/* sql */ `drop view a; create table a (id int primary key, t text)`);
  await attempt('SchemaFailed', 'public.b are missing');
  await db.targetClient.query(/* sql */ `create table b (id int, n int)`);
  await attempt('SchemaDrift', 'public.b.n');
  await db.targetClient.query(/* sql */ `insert into b values (4711, 1)`);
  await attempt('SchemaFailed', 'hold rows: public.b');
});

const MONITORED = /* sql */ `
  create schema monitoring; create extension pg_stat_statements schema monitoring;
  grant execute on function monitoring.pg_stat_statements_reset(oid, oid, bigint) to fidelity_reader;
  grant select on monitoring.pg_stat_statements to fidelity_reader;
  create table t (id int primary key);
  create function touched() returns event_trigger language plpgsql as 'begin end';
  create event trigger "Audit" on ddl_command_end execute function touched();
  create event trigger other on ddl_command_end execute function touched();
  create view slow as select query from monitoring.pg_stat_statements; comment on view slow is 'x';
  create function slowest() returns setof slow language sql as 'select * from slow';
  create function pg_stat_statements_reset(n int) returns int language sql as 'select n';
  grant execute on function pg_stat_statements_reset(int) to fidelity_reader;`;

test('ignored extensions and event triggers, and what depends on them, are not created; the rest is as on the source', async () => {
  await using db = await freshPair();
  await buildRoles(db.sourceClient, db.targetClient);
  await db.sourceClient.query(MONITORED);
  const migration = migrationOf(db);
  const input = inputOf(db, {
    ignore: { extensions: ['pg_stat_statements'], eventTriggers: ['Audit'] },
  });
  const report = await copySchema(migration, input, testWork());
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  await enableTriggers(migration);
  expect(report.leftOut).toEqual({
    excluded: ['VIEW public.slow', 'FUNCTION public.slowest()'],
    never: [],
    accepted: ['EVENT TRIGGER "Audit"', 'EXTENSION pg_stat_statements'],
    more: 0,
  });
  await db.sourceClient.query(/* sql */ `
    drop function slowest; drop view slow; drop extension pg_stat_statements; drop event trigger "Audit"`);
  expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
});

test('an extension that a selected table or another extension needs is not ignored: it is refused with every dependent by name', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create extension hstore; create extension pg_trgm; create extension cube; create extension earthdistance;
    create domain tags as hstore;
    create table by_column (id int primary key, t hstore);
    create table by_domain (id int primary key, t tags[]);
    create table by_parts (id int primary key, w text);
    create index by_class on by_parts using gin (w gin_trgm_ops);
    create function alike(text) returns boolean language sql immutable begin atomic select similarity($1, 'a') > 0; end;
    create policy by_function on by_parts using (alike(w));
    create table not_selected (id int, t hstore)`);
  const left = (...extensions: string[]) =>
    failure(
      copySchema(
        migrationOf(db),
        inputOf(db, { tables: { exclude: ['public.not_selected'] }, ignore: { extensions } }),
        testWork(),
      ),
      'SchemaFailed',
    );
  const { message } = await left('hstore', 'pg_trgm', 'cube');
  for (const part of [
    'TABLE public.by_column needs EXTENSION hstore, which is left out',
    'TABLE public.by_domain needs DOMAIN public.tags, which is left out',
    'INDEX public.by_class needs EXTENSION pg_trgm, which is left out',
    'POLICY public.by_parts by_function needs FUNCTION public.alike(text), which is left out',
    'EXTENSION earthdistance needs EXTENSION cube, which is left out',
  ]) {
    expect(message).toContain(part);
  }
  expect(message).not.toContain('not_selected');
  const { rowCount } = await db.targetClient.query(
    /* sql */ `select from pg_namespace where nspname = 'walferry'`,
  );
  expect(rowCount).toBe(0);
});
