/** Workers of this version continue a migration whose control schema an earlier version created. */
import { expect, test } from 'vitest';
import { addMissingColumns } from '../../postgres/store/columns.ts';
import { buildConstraints } from '../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../postgres/schema/build-indexes.ts';
import { refreshViews } from '../../postgres/schema/refresh-views.ts';
import { connectTo, freshPair } from '../support/database.ts';
import { drain, expectSame, startMigration } from '../support/stream.ts';
import { inputOf, migrationOf, testWork } from './schema-fidelity.ts';

test('the stream continues where the control schema lacks columns and tables of later versions', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, /* sql */ `create table t (id int primary key)`);
  await db.targetClient
    .query(/* sql */ `alter table walferry.relation drop column root_schema, drop column root_name;
      drop table walferry.copier, walferry.throttle`);
  await db.sourceClient.query(/* sql */ `insert into t values (1)`);
  await drain(db, migration);
  await expectSame(db);
});

test('indexes, constraints and materialized views are built there, too', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(/* sql */ `
    create table t (id int primary key);
    create materialized view m as select count(*) as n from t;`);
  const [migration, input] = [migrationOf(db), inputOf(db)];
  await copySchema(migration, input, testWork());
  await db.targetClient.query(
    /* sql */ `alter table walferry.schema_entry drop column refresh_state`,
  );
  await buildIndexes(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  expect(await refreshViews(migration, input, null, testWork())).toEqual({ views: 1 });
});

test('a complete control schema is not altered, and no session waits for its tables', async () => {
  await using db = await freshPair();
  await startMigration(db, /* sql */ `create table t (id int primary key)`);
  await using other = await connectTo(db.target);
  await other.query(/* sql */ `begin`);
  await other.query(/* sql */ `lock walferry.relation in access share mode`);
  await addMissingColumns(db.targetClient);
});
