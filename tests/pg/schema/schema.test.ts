/** The schema's way to the target: everything arrives, nothing is left behind, and nothing is done twice. */
import { expect, test } from 'vitest';
import { analyzeTables } from '../../../postgres/schema/analyze-tables.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { enableTriggers, disableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { refreshViews } from '../../../postgres/schema/refresh-views.ts';
import { freshPair } from '../../support/database.ts';
import {
  buildFidelity,
  copyFidelityRows,
  dumpLines,
  inputOf,
  migrationOf,
  testWork,
} from './schema-fidelity.ts';

test.each([
  ['in one piece', {}],
  [
    'in parts, as with small lock tables on the servers',
    { tablesPerDump: 2, entriesPerTransaction: 7 },
  ],
])(
  'after the last step the target has every object of the source, and nothing else: %s',
  async (_how, limits) => {
    await using db = await freshPair();
    await buildFidelity(db.sourceClient, db.targetClient);
    const migration = migrationOf(db);
    const input = inputOf(db);

    const report = await copySchema(migration, input, testWork(), limits);
    expect(report.created).toBe(true);
    const before = await db.targetClient
      .query(/* sql */ `select from pg_index i join pg_class c on c.oid = i.indrelid
                where c.relnamespace = 'app'::regnamespace`);
    expect(before.rowCount).toBe(0);
    await copyFidelityRows(db.sourceClient, db.targetClient);
    for (const name of ['mv', 'mv2', 'mv_late']) {
      await db.sourceClient.query(`refresh materialized view app.${name}`);
    }

    const indexes = await buildIndexes(migration, input, testWork());
    expect(indexes.indexes).toBeGreaterThan(8);
    expect(indexes.constraints).toBeGreaterThan(8);
    const constraints = await buildConstraints(migration, input, testWork());
    expect(constraints.constraints).toBe(5);
    expect(await analyzeTables(migration, input, testWork())).toEqual({
      tables: report.tables - 4,
    });
    expect(await refreshViews(migration, input, null, testWork())).toEqual({ views: 3 });
    const enabledOnes = /* sql */ `select from pg_trigger where tgenabled in ('A', 'R')
               union all select from pg_event_trigger where evtenabled <> 'D'`;
    expect((await db.targetClient.query(enabledOnes)).rowCount).toBe(0);
    expect(await enableTriggers(migration)).toBe(6);
    expect(await enableTriggers(migration)).toBe(0);
    // A cutover that is undone at its last step.
    expect(await disableTriggers(migration)).toBe(6);
    expect(await disableTriggers(migration)).toBe(0);
    expect((await db.targetClient.query(enabledOnes)).rowCount).toBe(0);
    expect(await enableTriggers(migration)).toBe(6);

    expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
    const views = await db.targetClient
      .query(/* sql */ `select (select count from app.mv2) as mv2, (select count from app.mv_late) as late,
                      (select relispopulated from pg_class where relname = 'mv_empty') as empty`);
    expect(views.rows).toEqual([{ mv2: '200', late: '50', empty: false }]);
    const analyzed = await db.targetClient.query(
      /* sql */ `select from pg_stats where schemaname = 'app' and tablename in ('customer', 'measure', 'measure_2020')`,
    );
    expect(analyzed.rowCount).toBeGreaterThan(10);

    // Again, as after a lost completion: the same answers, nothing done.
    expect(await copySchema(migration, input, testWork())).toEqual(report);
    expect(await buildIndexes(migration, input, testWork())).toEqual(indexes);
    expect(await buildConstraints(migration, input, testWork())).toEqual(constraints);
    expect(await analyzeTables(migration, input, testWork())).toEqual({ tables: 0 });
    expect(await refreshViews(migration, input, null, testWork())).toEqual({ views: 3 });
    expect(await dumpLines(db.target)).toEqual(await dumpLines(db.source));
  },
);
