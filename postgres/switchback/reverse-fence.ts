/** The fence that a switch back installs on the new database. */
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { Work } from '../../contract/work.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { hasWayBack } from '../store/way-back.ts';
import { onWayBack } from './on-way-back.ts';

/**
 * Removes it, unless it is sealed: then the application is on the old database, and the new one must stay closed. Idempotent; does
 * nothing when the old database has no row of the way back.
 */
export async function removeReverseFence(
  migration: Migration,
  fence: Fence,
  work: Work,
): Promise<void> {
  const reverse = reverseOf(migration);
  const remove = async (): Promise<void> => {
    const { signal } = work;
    await using old = await connectTarget(reverse, 'cleanup', { signal, unregistered: 'any more' });
    if (!(await hasWayBack(old, reverse))) return;
    await using fresh = await connectSource(reverse, 'cleanup', { signal, target: old });
    const gate = await fence.gate(fresh, reverse);
    if (gate === null || gate.state === 'sealed') return;
    const { left } = await fence.remove(fresh, reverse, work);
    if (left.length > 0) work.log.warn('the open fence is left on tables of the target', { left });
  };
  await onWayBack(reverse, 'removing the fence', remove, work.signal);
}
