/** The target's fence within the steps of a migration: each opens its own session. What stays open or is left is logged by name. */
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { takeTurn } from '../store/turn.ts';
import { hasStore } from '../store/upgrade.ts';
import { removeFenceFrom } from './remove-fence.ts';
import { closeTarget, closeTargetAgain, openTarget } from './target-fence.ts';

/** After the tables are created, and before every plan of the copy: tables join a migration while it runs. */
export const closeBeforeRows = (migration: Migration, work: Work): Promise<void> =>
  onTarget(migration, work, 'closing the target', async (target) => {
    const { open } = await closeTarget(target, migration, work);
    if (open.length > 0) {
      work.log.warn('an application that is early can write to tables of the target', { open });
    }
  });

/** In a cutover, before the application comes. An attempt that was superseded opens nothing. */
export const openWithTriggers = (migration: Migration, work: Work): Promise<void> =>
  onTarget(migration, work, 'opening the target', (target) =>
    inTurn(target, migration, work, () => openTarget(target, migration)),
  );

/** When a cutover was undone. An attempt that wakes up after a later one has released the target must not close it. */
export const closeAgain = (migration: Migration, work: Work): Promise<void> =>
  onTarget(migration, work, 'closing the target', (target) =>
    inTurn(target, migration, work, () => closeTargetAgain(target, migration)),
  );

async function inTurn(
  target: Session,
  migration: Migration,
  { scheduledAt }: Work,
  run: () => Promise<void>,
): Promise<void> {
  if (!(await hasStore(target))) return;
  const turn = await takeTurn(target, migration, scheduledAt);
  await inTransaction(target, async () => {
    await turn.hold();
    await run();
  });
}

/** When the migration ends, in any way. */
export const removeFromTarget = (migration: Migration, work: Work): Promise<void> =>
  onTarget(migration, work, 'removing the fence of the target', async (target) => {
    const { left } = await removeFenceFrom(target, migration, work);
    if (left.length > 0) {
      work.log.warn('parts of the fence are left on the target; walferry cleanup removes them', {
        left,
      });
    }
  });

async function onTarget(
  migration: Migration,
  { signal }: Work,
  step: string,
  use: (target: Session) => Promise<void>,
): Promise<void> {
  try {
    await using target = await connectTarget(migration, 'schema', {
      unregistered: 'any more',
      signal,
    });
    await target.run(use);
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step, side: 'target' }, 'SchemaFailed');
  }
}
