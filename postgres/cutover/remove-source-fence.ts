/**
 * The end of a migration whose run has not switched: the fence leaves the source. An earlier run, before a reset, may have armed or
 * sealed it, or may have switched: the outcome comes first, as in every undo.
 */
import { MigrationError } from '../../contract/failure.ts';
import { MOST_NAMED, type RemovalReport } from '../../contract/fence.ts';
import { listed } from '../../contract/listed.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { findEarlier, settleEarlier } from './settle-earlier.ts';

/**
 * Idempotent; does nothing where no fence was installed.
 * @throws MigrationError `Contention` naming what could not be removed yet: another session locks the table; `AlreadySwitched` when
 *   the target is the live database: then nothing is removed.
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
    await settle(source, migration, fence, work);
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

/** Gives the writes back that a cutover without a driver has stopped, unless it has switched. */
async function settle(
  source: Session,
  migration: Migration,
  fence: Fence,
  work: Work,
): Promise<void> {
  // Without one the target is not needed, which may be gone.
  if ((await findEarlier(source, migration, fence, null)) === null) return;
  await using target = await connectTarget(migration, 'cutover', { signal: work.signal });
  await settleEarlier({ source, target }, migration, fence, null, work);
}
