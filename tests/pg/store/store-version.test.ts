/** The version of the control schema: older ones are upgraded, those that this walferry does not know are refused. */
import { expect, test } from 'vitest';
import { endOnTarget } from '../../../postgres/schema/drop-control.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { connectTarget } from '../../../postgres/session/open.ts';
import { readMigration } from '../../../postgres/store/migration.ts';
import {
  createStore,
  NEWEST,
  requireKnownVersion,
  upgrade,
} from '../../../postgres/store/upgrade.ts';
import { VERSIONS } from '../../../postgres/store/versions/version-list.ts';
import { inputOf, migrationOf, recordedWork, registered } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { until } from '../../support/until.ts';

/** The versions of a new control schema. */
const NUMBERS = VERSIONS.map(({ number }) => number);

const SECOND = [
  ...VERSIONS,
  {
    number: NEWEST + 1,
    sql: /* sql */ `alter table walferry.migration add column colour text not null default 'red'`,
  },
];

/** Versions that were applied, and the colour that the second one adds. */
async function stored({ targetClient }: FreshPair) {
  const { rows } = await targetClient.query<{ number: number }>(
    /* sql */ `select number from walferry.version order by number`,
  );
  const { rows: columns } = await targetClient.query(
    /* sql */ `select from pg_attribute where attrelid = 'walferry.migration'::regclass and attname = 'colour'`,
  );
  return { versions: rows.map(({ number }) => number), coloured: columns.length === 1 };
}

test('an older control schema is upgraded once, with its rows, and ends as a whole', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await upgrade(db.targetClient, db.target, SECOND);
  await upgrade(db.targetClient, db.target, SECOND);
  expect(await stored(db)).toEqual({ versions: [...NUMBERS, NEWEST + 1], coloured: true });
  expect(await readMigration(db.targetClient, migration.id)).not.toBeNull();
  await endOnTarget(db.targetClient, migration);
  const { rows } = await db.targetClient.query(
    /* sql */ `select nspname from pg_namespace where nspname = 'walferry'`,
  );
  expect(rows).toEqual([]);
});

test('two workers that upgrade at once both succeed, and the upgrade runs once', async () => {
  await using db = await freshPair();
  await registered(db);
  await using other = await connectTo(db.target);
  await other.query(/* sql */ `begin`);
  await createStore(other, db.target, SECOND);
  const second = upgrade(db.targetClient, db.target, SECOND);
  await until('the second worker to wait', async () => {
    const { rowCount } = await other.query(
      /* sql */ `select from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`,
    );
    return rowCount === 1;
  });
  await other.query(/* sql */ `commit`);
  await second;
  expect(await stored(db)).toEqual({ versions: [...NUMBERS, NEWEST + 1], coloured: true });
});

test('an upgrade that fails changes nothing, and is over before the next try', async () => {
  await using db = await freshPair();
  await registered(db);
  const failing = [...SECOND, { number: NEWEST + 2, sql: /* sql */ `select 1 / 0` }];
  await expect(upgrade(db.targetClient, db.target, failing)).rejects.toMatchObject({
    code: '22012',
  });
  expect(await stored(db)).toEqual({ versions: NUMBERS, coloured: false });
  await upgrade(db.targetClient, db.target, SECOND);
  expect(await stored(db)).toEqual({ versions: [...NUMBERS, NEWEST + 1], coloured: true });
});

test('an upgrade gives up while another session holds a table, and a current schema needs no lock', async () => {
  await using db = await freshPair();
  await registered(db);
  await using other = await connectTo(db.target);
  await other.query(/* sql */ `begin; lock table walferry.migration, walferry.relation`);
  await upgrade(db.targetClient, db.target);
  await expect(upgrade(db.targetClient, db.target, SECOND)).rejects.toMatchObject({
    code: '55P03',
  });
});

test('no step works with a control schema that could not be upgraded', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  // From here on the upgrade creates tables that exist.
  await db.targetClient.query(
    /* sql */ `delete from walferry.version where number > 1; update walferry.version set number = 0`,
  );
  await expect(connectTarget(migration, 'apply')).rejects.toMatchObject({
    details: { sqlstate: '42P07' },
  });
});

test('a newer control schema is refused by its version, by the steps of its own migration and of another one', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await db.targetClient.query(/* sql */ `insert into walferry.version (number) values ($1)`, [
    NEWEST + 5,
  ]);
  const refusal = {
    code: 'StoreTooNew',
    message: `the control schema on "${db.target}" has version ${NEWEST + 5}; this walferry knows versions up to ${NEWEST}. Use the newer walferry that upgraded it`,
  };
  await expect(requireKnownVersion(db.targetClient, db.target)).rejects.toMatchObject(refusal);
  await expect(connectTarget(migration, 'apply')).rejects.toMatchObject(refusal);
  await expect(
    connectTarget(migration, 'cleanup', { unregistered: 'any more' }),
  ).rejects.toMatchObject(refusal);
  const other = { ...migrationOf(db), id: 'another run' };
  await expect(copySchema(other, inputOf(db), recordedWork())).rejects.toMatchObject(refusal);
});

test('a control schema without a version is refused, and not changed', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  await db.targetClient.query(/* sql */ `drop table walferry.version, walferry.side`);
  const refusal = { code: 'StoreTooOld' };
  await expect(connectTarget(migration, 'apply')).rejects.toMatchObject(refusal);
  await expect(upgrade(db.targetClient, db.target)).rejects.toMatchObject(refusal);
  await expect(createStore(db.targetClient, db.target)).rejects.toMatchObject(refusal);
  expect(await readMigration(db.targetClient, migration.id)).not.toBeNull();
});

test('a target without a control schema has no version, and needs no upgrade', async () => {
  await using db = await freshPair();
  expect(await requireKnownVersion(db.targetClient, db.target)).toBeNull();
  await upgrade(db.targetClient, db.target, SECOND);
  expect(await requireKnownVersion(db.targetClient, db.target)).toBeNull();
});
