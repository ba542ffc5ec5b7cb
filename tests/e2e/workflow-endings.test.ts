/** Every way in which a migration ends: with which status and words, and that nothing is left behind. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporalServer } from '../support/temporal.ts';
import { until } from '../support/until.ts';
import { Migrations } from './workflow/migrations.ts';

let migrations: Migrations;
beforeAll(async () => {
  migrations = await Migrations.open(temporalServer().address);
});
afterAll(() => migrations[Symbol.asyncDispose]());

test.concurrent(
  'a migration that is cut over completes with a sentence and its numbers',
  async () => {
    const migration = await migrations.streaming();
    const answer = await migration.ask('cutover');
    expect(answer).toMatchObject({
      allowed: true,
      text: expect.stringMatching(/^Cutover complete: "orders_new" is ready/),
    });
    const end = await migration.end();
    expect(end.status).toBe('COMPLETED');
    expect(JSON.parse(end.text)).toMatchObject({
      summary: expect.stringContaining('3 tables, 600 rows on both sides, 5 sequences set'),
      ...{
        source: 'orders_old',
        target: 'orders_new',
        tables: 3,
        rows: 600,
        copiedRows: 600,
        sequences: 5,
      },
    });
    expect(migration.world.leftovers).toEqual([]);
    expect(migration.world.tables).toBe(true);
    expect(await migration.activities()).toEqual([
      ...['preflight', 'copySchema', 'createSlot', 'holdSnapshot', 'planCopy'],
      ...['copyChunks', 'copyChunks', 'copyChunks', 'planCopy', 'buildIndexes', 'buildConstraints'],
      ...['streamChanges', 'writeEndMark', 'streamChanges', 'setSequences', 'compareCounts'],
      ...['laterChanges', 'enableTriggers', 'dropSlot', 'enableTriggers', 'dropControl'],
    ]);
  },
);
