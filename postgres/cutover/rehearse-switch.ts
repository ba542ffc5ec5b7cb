/**
 * The end of a cutover, as far as it is safe while the application writes: the fence on a table of walferry's own, and the release
 * in a transaction that is rolled back. It finds before the night what a role may not do or a session locks. Sequences are left
 * out, because no rollback takes `setval` back.
 */
import { randomUUID } from 'node:crypto';
import type { SwitchRehearsed } from '../../contract/cutover.ts';
import { sided } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { rolledBack } from '../connection/in-transaction.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { openTarget } from '../fence/target-fence.ts';
import { tryEnabling } from '../schema/try-enabling.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { decide, noteRelease } from '../store/outcome.ts';
import { emitRelease } from './release-target.ts';

/** Readers of the target wait behind us for no longer. */
const BEGIN = /* sql */ `begin; set local lock_timeout = 2000`;

/**
 * Changes nothing.
 * @throws MigrationError `FenceRefused` when the fence does not refuse; `SchemaFailed` with the SQLSTATE with which the target
 *   refuses the release; `Contention`, `Unreachable`.
 */
export async function rehearseSwitch(
  migration: Migration,
  fence: Fence,
  work: Work,
): Promise<SwitchRehearsed> {
  const { signal } = work;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    const began = performance.now();
    const triggers = await release(target, migration);
    const releaseMs = performance.now() - began;
    await using source = await connectSource(migration, 'cutover', { signal, target });
    const asked = performance.now();
    await probe(source, migration, fence);
    return { releaseMs, triggers, probeMs: fence.probe ? performance.now() - asked : null };
  } catch (error) {
    signal.throwIfAborted();
    throw sided(classify(error, { step: 'rehearsing the release' }, 'SchemaFailed'), 'target');
  }
}

function release(target: Session, migration: Migration): Promise<number> {
  const cutover = randomUUID();
  return rolledBack(
    target,
    async () => {
      await decide(target, migration, cutover, 'switched');
      const triggers = await tryEnabling(target, migration);
      await openTarget(target, migration);
      const lsn = await emitRelease(target, migration, cutover);
      await noteRelease(target, cutover, { lsn, downtimeMs: 0 });
      return triggers;
    },
    BEGIN,
  );
}

async function probe(source: Session, migration: Migration, fence: Fence): Promise<void> {
  try {
    await fence.probe?.(source, migration);
  } catch (error) {
    throw sided(classify(error, { step: 'rehearsing the fence' }, 'FenceRefused'), 'source');
  }
}
