/** Ends the way back: its slot on the new database, its triggers and its row on the old one. In every ending of a migration. */
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { Work } from '../../contract/work.ts';
import { endOnTarget } from '../schema/drop-control.ts';
import { enableTriggers } from '../schema/disable-trigger.ts';
import { connectTarget } from '../session/open.ts';
import { dropSlot } from '../slot/drop-slot.ts';
import { readMigration } from '../store/migration.ts';
import { onWayBack } from './on-way-back.ts';

/**
 * Drops the slot of the way back on the new database. Idempotent; also without the old database.
 * @returns `absent` if there was none.
 */
export async function dropReverseSlot(migration: Migration): Promise<'dropped' | 'absent'> {
  const reverse = reverseOf(migration);
  return onWayBack(reverse, 'dropping the slot', () => dropSlot(reverse));
}

/**
 * Removes the row of the way back from the old database, and schema `walferry` with the last row; triggers that a lease disabled get
 * their recorded state. Idempotent; does nothing if there is no row.
 */
export async function closeWayBack(
  migration: Migration,
  work: Pick<Work, 'signal' | 'beat' | 'scheduledAt'>,
): Promise<void> {
  const reverse = reverseOf(migration);
  const close = async (): Promise<void> => {
    await using old = await connectTarget(reverse, 'cleanup', { unregistered: 'any more' });
    // Without a slot no lease has disabled anything, and there is no position that a step could take over from: the opening was
    // cancelled while it waited for writers, or an earlier attempt has removed the row from a schema that another migration uses.
    const state = await readMigration(old, reverse.id);
    if ((state?.consistentLsn ?? null) !== null) await enableTriggers(reverse, work, 'nothing');
    await endOnTarget(old, reverse);
  };
  await onWayBack(reverse, 'removing the control schema', close, work.signal);
}
