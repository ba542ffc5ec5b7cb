/** Whether the target is the live database. */
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import { readSwitched } from '../store/outcome.ts';
import { hasStore } from '../store/upgrade.ts';

/** @throws MigrationError `Unreachable`, `Denied`. */
export async function hasSwitched(
  migration: Migration,
  { signal }: Pick<Work, 'signal'>,
): Promise<boolean> {
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    return (await hasStore(target)) && (await readSwitched(target, migration)) !== null;
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'reading the outcome of the cutover' }, 'Internal');
  }
}
