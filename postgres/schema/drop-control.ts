/** The last transaction on the target: restores the state of login event triggers and drops the control schema. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { classify } from '../connection/failure.ts';
import { dropControl } from '../store/migration.ts';
import { readAsleepOnLogin } from './disable-trigger.ts';
import { inTransaction } from '../connection/in-transaction.ts';

/**
 * Idempotent; does nothing when the control schema is gone.
 * @param target a session outside of a transaction.
 * @throws MigrationError `SchemaFailed`, `Denied`, `Contention`, `Unreachable`; nothing has changed then.
 */
export async function endOnTarget(target: pg.ClientBase, migration: Migration): Promise<void> {
  try {
    await inTransaction(target, async () => {
      const enabling = await readAsleepOnLogin(target, migration);
      await dropControl(target, migration);
      // Last: they lock the database against new connections until the commit, and the drop may wait for a reader.
      for (const sql of enabling) await target.query(sql);
    });
  } catch (error) {
    throw classify(error, { step: 'ending on the target', side: 'target' }, 'SchemaFailed');
  }
}
