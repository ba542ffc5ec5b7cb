/** Every kind of object arrives as on the source: the catalogs of both sides are compared by kind. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { analyzeTables } from '../../../postgres/schema/analyze-tables.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { refreshViews } from '../../../postgres/schema/refresh-views.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { CATALOG, catalogLines } from './object-catalog.ts';
import {
  DROP_SUBSCRIPTION,
  LEFT_BEHIND,
  OBJECT_ROLES,
  OBJECT_ROWS,
  OBJECTS,
} from './object-fidelity.ts';
import { dumpLines, inputOf, migrationOf, testWork } from './schema-fidelity.ts';

let db: FreshPair;

beforeAll(async () => {
  db = await freshPair();
  await db.targetClient.query(OBJECT_ROLES);
  await db.sourceClient.query(OBJECT_ROLES);
  await db.sourceClient.query(OBJECTS);
  await db.sourceClient.query(`${LEFT_BEHIND}; ${OBJECT_ROWS}`);
  const migration = migrationOf(db);
  const input = inputOf(db);
  await copySchema(migration, input, testWork());
  await db.targetClient.query(OBJECT_ROWS);
  for (const view of ['names', 'names_count', 'third', 'late']) {
    await db.sourceClient.query(`refresh materialized view obj.${view}`);
  }
  await db.sourceClient.query('analyze');
  await buildIndexes(migration, input, testWork());
  await analyzeTables(migration, input, testWork());
  await buildConstraints(migration, input, testWork());
  await refreshViews(migration, input, null, testWork());
  await enableTriggers(migration);
});

afterAll(async () => {
  await db.sourceClient.query(DROP_SUBSCRIPTION).catch(() => undefined);
  await db[Symbol.asyncDispose]();
});

test.each(Object.entries(CATALOG))('%s arrive as on the source', async (_kind, sql) => {
  const source = await catalogLines(db.sourceClient, sql);
  expect(source.length).toBeGreaterThan(0);
  expect(await catalogLines(db.targetClient, sql)).toEqual(source);
});

test('pg_dump prints the same schemas on both sides', async () => {
  const source = (await dumpLines(db.source)).filter(
    (line) => !line.includes('object_subscription'),
  );
  expect(await dumpLines(db.target)).toEqual(source);
});
