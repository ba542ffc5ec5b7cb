/** Writes to the control schema that only the newest attempt may make. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { holdEpoch } from '../store/epoch.ts';
import { CatalogMoved, DRIFT_CHECKED } from './catalog-moved.ts';

/**
 * Runs the writes in a transaction that holds the attempt's epoch.
 * @param target a session without an open transaction.
 * @param epoch null for a check that must not write.
 * @throws MigrationError `Fenced`; CatalogMoved without an epoch: the next lease decides.
 */
export async function writeFenced(
  target: pg.ClientBase,
  migration: Migration,
  epoch: bigint | null,
  write: () => Promise<void>,
): Promise<void> {
  if (epoch === null) throw new CatalogMoved(DRIFT_CHECKED, null);
  await inTransaction(target, async () => {
    await holdEpoch(target, migration, epoch);
    await write();
  });
}
