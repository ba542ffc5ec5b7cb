/** The end of a migration without a switch: its fence is open, and leaves the source. */
import { MigrationError } from '../../contract/failure.ts';
import { MOST_NAMED, type RemovalReport } from '../../contract/fence.ts';
import { listed } from '../../contract/listed.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource } from '../session/open.ts';

/**
 * Idempotent; does nothing where no fence was installed.
 * @throws MigrationError `Contention` naming what could not be removed yet: another session locks the table.
 */
export async function removeSourceFence(
  migration: Migration,
  fence: Fence,
  work: Work,
): Promise<RemovalReport> {
  const { signal } = work;
  try {
    await using source = await connectSource(migration, 'cleanup', {
      ...{ signal, unregistered: 'any more', aside: true },
    });
    const { left } = await fence.remove(source, migration, work);
    if (left.length === 0) return { left };
    throw new MigrationError(
      'Contention',
      `parts of the fence are still on "${migration.source}": ${listed(left, MOST_NAMED)}`,
      { object: left[0] ?? '', side: 'source' },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'removing the fence', side: 'source' }, 'Internal');
  }
}
