/** Tables and roots that exist on the target before: used as they are, or refused. */
import { expect, test } from 'vitest';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { undoSchema } from '../../../postgres/schema/undo-schema.ts';
import { freshPair } from '../../support/database.ts';
import { dumpLines, failure, inputOf, migrationOf, testWork } from './schema-fidelity.ts';

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
