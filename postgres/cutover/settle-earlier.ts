/** A cutover of this migration that no one drives any more: that of a run before a reset, or of an attempt that woke up too late. */
import { isOwnCutover } from '../../contract/cutover.ts';
import type { Migration } from '../../contract/migration.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { overtakeEarlier } from '../store/epoch.ts';
import { awaitFenceGate } from '../store/fence-gate.ts';
import { alreadySwitched, decideUndone, type Attempting } from './undo-cutover.ts';

/**
 * Decides it, and gives the writes back that it has stopped.
 * @param cutover the one that the caller drives; null: none yet.
 * @throws MigrationError `AlreadySwitched`, and like {@link decideUndone}.
 */
export async function settleEarlier(
  { source, target }: { readonly source: Session; readonly target: Session },
  migration: Migration,
  fence: Fence,
  cutover: string | null,
  attempt: Attempting,
): Promise<void> {
  const earlier = await findEarlier(source, migration, fence, cutover);
  if (earlier === null) return;
  const { what } = await decideUndone(target, migration, earlier, attempt);
  if (what === 'undone') return fence.open(source, migration, earlier);
  throw alreadySwitched(migration, earlier);
}

/**
 * The same before a stream begins, which no one asks for while a cutover stops the writes: whatever stopped them is forgotten. An
 * attempt that wakes up too late decides nothing, because the steps of the present cutover have taken the epoch. An arming that was
 * scheduled before this attempt is seen here, or finds that it is overtaken: nothing else would give the writes back.
 * @throws MigrationError as {@link settleEarlier}; `Fenced`.
 */
export async function settleForgotten(
  migration: Migration,
  fence: Fence,
  attempt: Attempting,
): Promise<void> {
  const { signal, scheduledAt } = attempt;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    if (scheduledAt !== undefined) await overtakeEarlier(target, migration, scheduledAt);
    await awaitFenceGate(target, migration);
    await using source = await connectSource(migration, 'cutover', { signal, target });
    await settleEarlier({ source, target }, migration, fence, null, attempt);
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'settling an earlier cutover' }, 'Internal');
  }
}

/** The cutover, other than the caller's, for which the gate is not open; null: none. */
export async function findEarlier(
  source: Session,
  migration: Migration,
  fence: Fence,
  cutover: string | null,
): Promise<string | null> {
  const gate = await fence.gate(source, migration);
  if (!gate || gate.cutover === null || gate.cutover === cutover || gate.state === 'open') {
    return null;
  }
  // The outcome of another migration's cutover is on its own target: the fence refuses to be armed until that one is over.
  return isOwnCutover(migration, gate.cutover) ? gate.cutover : null;
}
