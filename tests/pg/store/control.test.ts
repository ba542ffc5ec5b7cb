/** The migration's rows on the target: written once, read by every step, dropped at the end. */
import { expect, test, vi } from 'vitest';
import { readRelations } from '../../../postgres/catalog/read-relations.ts';
import { readDefinitions } from '../../../postgres/catalog/table-definition.ts';
import {
  dropControl,
  readMigration,
  registerMigration,
  requireMigration,
} from '../../../postgres/store/migration.ts';
import { readPlannedRelations, readUnfinished } from '../../../postgres/store/planned-relation.ts';
import { registerRelations } from '../../../postgres/store/table-move.ts';
import { storeDefinitions } from '../../../postgres/store/planned-definition.ts';
import { migrationOf, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { createStore } from '../../../postgres/store/upgrade.ts';

const registration = (db: FreshPair) => ({
  migration: migrationOf(db),
  source: { system: '1', database: '1', timeline: 1 },
  sourceDatabase: db.source,
  tablesCreated: null,
  archive: null,
});

test('a migration is registered once, and later facts are added', async () => {
  await using db = await freshPair();
  await createStore(db.targetClient, db.target);
  await createStore(db.targetClient, db.target);
  const first = registration(db);
  await registerMigration(db.targetClient, first);
  expect(await readMigration(db.targetClient, first.migration.id)).toMatchObject({
    slot: first.migration.slot,
    tablesCreated: null,
    consistentLsn: null,
    barrier: null,
    epoch: 0n,
    consistent: false,
  });
  const archive = Buffer.from([0, 255, 92, 10]);
  await registerMigration(db.targetClient, { ...first, tablesCreated: true, archive });
  await registerMigration(db.targetClient, { ...first, tablesCreated: false });
  expect((await readMigration(db.targetClient, first.migration.id))?.tablesCreated).toBe(true);
  const stored = await db.targetClient.query('select archive from walferry.migration');
  expect(stored.rows).toEqual([{ archive }]);
});

test('a target that belongs to another migration is refused, with the command that cleans it up', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const other = { ...registration(db), migration: { ...migration, id: 'another run' } };
  await expect(registerMigration(db.targetClient, other)).rejects.toThrow(
    `walferry cleanup ${db.source} ${db.target} --workflow-id orders`,
  );
});

test('an unknown migration is not found, or an error where it is required', async () => {
  await using db = await freshPair();
  const migration = migrationOf(db);
  expect(await readMigration(db.targetClient, migration.id)).toBeNull();
  await expect(requireMigration(db.targetClient, migration)).rejects.toMatchObject({
    code: 'CheckpointMissing',
  });
});

test('dropping removes the schema and may be repeated, inside and outside a transaction', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const there = () =>
    db.targetClient
      .query(`select from pg_namespace where nspname = 'walferry'`)
      .then(({ rowCount }) => rowCount === 1);
  await db.targetClient.query('begin');
  await dropControl(db.targetClient, migration);
  await db.targetClient.query('rollback');
  expect(await there()).toBe(true);
  await dropControl(db.targetClient, migration);
  expect(await there()).toBe(false);
  await dropControl(db.targetClient, migration);
});

test('rows of another migration keep the schema from being dropped', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await dropControl(db.targetClient, { ...migration, id: 'another run' });
  expect(await readMigration(db.targetClient, migration.id)).not.toBeNull();
});

test('a schema that another session has locked is not waited for forever', async () => {
  await using db = await freshPair();
  await using blocker = await connectTo(db.target);
  const migration = await registered(db);
  await blocker.query('begin; select from walferry.migration for update');
  await expect(dropControl(db.targetClient, migration)).rejects.toMatchObject({
    code: 'Contention',
  });
  await blocker.query('rollback');
  expect(await readMigration(db.targetClient, migration.id)).not.toBeNull();
});

test('tables are added to the plan and refreshed, and what was recorded about them stays', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await db.sourceClient.query(
    'create table a (id int); create table root (id int) partition by list (id)',
  );
  const selection = { include: ['*.*'], exclude: [] };
  await registerRelations(
    db.targetClient,
    migration,
    await readRelations(db.sourceClient, selection),
  );
  await db.targetClient.query(
    "update walferry.relation set state = 'ready', pass = 3 where id = 1",
  );
  await db.sourceClient.query('insert into a values (1); create table b (id int)');
  await registerRelations(
    db.targetClient,
    migration,
    await readRelations(db.sourceClient, selection),
  );
  const planned = await readPlannedRelations(db.targetClient, migration);
  expect(planned.map(({ id, name, kind, pass, pages }) => [id, name, kind, pass, pages])).toEqual([
    [1, 'a', 'r', 3, 1],
    [2, 'root', 'p', null, 0],
    [4, 'b', 'r', null, 0],
  ]);
});

test('definitions of wide tables are stored completely, by several statements that are each short to encode', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await db.sourceClient.query(/* sql */ `
    do $$ begin for i in 1..12 loop execute format('create table t_%s (id int)', i); end loop; end $$`);
  const relations = await readRelations(db.sourceClient, { include: ['*.*'], exclude: [] });
  await registerRelations(db.targetClient, migration, relations);
  const definitions = await readDefinitions(
    db.sourceClient,
    relations.map(({ oid }) => oid),
  );
  const target = Object.fromEntries(
    Array.from({ length: 15_000 }, (_, i) => [`a_column_with_a_long_name_${i}`, i]),
  );
  const rows = await readPlannedRelations(db.targetClient, migration);
  const wide = new Map(
    rows.flatMap(({ id, oid }) => {
      const source = definitions.get(oid);
      return source ? [[id, { source, key: null, target }] as const] : [];
    }),
  );
  expect(wide.size).toBe(12);
  const sent = vi.spyOn(db.targetClient, 'query');
  await storeDefinitions(db.targetClient, migration, wide);
  const sizes = sent.mock.calls.map((call) => JSON.stringify(call).length);
  sent.mockRestore();
  expect(sizes.length).toBeGreaterThan(3);
  expect(Math.max(...sizes)).toBeLessThan(2_500_000);
  const stored = await readPlannedRelations(db.targetClient, migration);
  expect(new Map(stored.map(({ id, definition }) => [id, definition]))).toEqual(wide);
});

test('a table that was dropped and recreated after its copy is due for a new copy', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const selection = { include: ['*.*'], exclude: [] };
  const register = async () =>
    registerRelations(db.targetClient, migration, await readRelations(db.sourceClient, selection));
  await db.sourceClient.query('create table a (id int); create table b (id int)');
  await register();
  await db.targetClient.query("update walferry.relation set state = 'ready', pass = 1");
  await register();
  expect(await readUnfinished(db.targetClient, migration, 2)).toEqual([]);
  await db.sourceClient.query('drop table a; create table a (id int)');
  await register();
  const [again] = await readUnfinished(db.targetClient, migration, 2);
  const planned = await readPlannedRelations(db.targetClient, migration);
  expect(planned.find(({ id }) => id === again)?.name).toBe('a');
});
