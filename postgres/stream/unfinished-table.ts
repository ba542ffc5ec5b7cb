/** Tables whose copy is not complete when a lease starts: new in the selection, or lost with the target's latest work. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { nameOf } from '../catalog/table-name.ts';
import { resync } from '../drift/drift-failure.ts';
import { readUnfinished, type PlannedRelationRow } from '../store/planned-relation.ts';

/** Refuses a target that lost committed work in a crash: tables that were complete are unfinished again. */
export async function refuseUnfinished(
  target: pg.ClientBase,
  migration: Migration,
  rows: readonly PlannedRelationRow[],
): Promise<void> {
  const unfinished = new Set(await readUnfinished(target, migration, null));
  const again = rows.filter(({ id, state }) => unfinished.has(id) && state !== 'copying');
  if (unfinished.size > again.length) {
    throw new MigrationError(
      'CheckpointMissing',
      `${unfinished.size - again.length} copied tables are no longer complete on "${migration.target}": it lost committed transactions`,
    );
  }
  const begun = again.filter(({ state }) => state === 'pending');
  if (begun.length > 0) throw resync(begun.map((row) => `${nameOf(row)} is new in the selection`));
}
