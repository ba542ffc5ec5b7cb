/** The target's fence within the steps of a migration: each opens its own session. What stays open is logged by name. */
import type { RemovalReport } from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { refuseSwitched } from '../store/outcome.ts';
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

/** The same for tables that join a stream, which goes on without it: a failure is logged, and the next lease tries again. */
export async function closeBesideStream(migration: Migration, work: Work): Promise<void> {
  try {
    await closeBeforeRows(migration, work);
  } catch (error) {
    work.signal.throwIfAborted();
    const message = error instanceof Error ? error.message : String(error);
    work.log.warn('the fence of the target was not installed on every table', { message });
  }
}

/** In a cutover, before the application comes. An attempt that was superseded opens nothing. */
export const openWithTriggers = (migration: Migration, work: Work): Promise<void> =>
  onTarget(migration, work, 'opening the target', (target) =>
    inTurn(target, migration, work, () => openTarget(target, migration)),
  );

/**
 * When a cutover was undone. An attempt that wakes up after a later one has released the target must not close it, nor one of a run
 * that does not know that an earlier run has switched.
 * @throws MigrationError `AlreadySwitched`.
 */
export const closeAgain = (migration: Migration, work: Work): Promise<void> =>
  onTarget(migration, work, 'closing the target', (target) =>
    inTurn(target, migration, work, async () => {
      await refuseSwitched(target, migration);
      await closeTargetAgain(target, migration);
    }),
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

/**
 * When the migration ends, in any way.
 * @returns what is left, by name: it refuses nothing any more.
 */
export const removeFromTarget = (migration: Migration, work: Work): Promise<RemovalReport> =>
  onTarget(migration, work, 'removing the fence of the target', async (target) => {
    // First, and for itself: a reader's lock keeps a trigger from being dropped, and would keep the target closed with it.
    await inTransaction(target, () => openTarget(target, migration));
    return removeFenceFrom(target, migration, work);
  });

async function onTarget<T>(
  migration: Migration,
  { signal }: Work,
  step: string,
  use: (target: Session) => Promise<T>,
): Promise<T> {
  try {
    await using target = await connectTarget(migration, 'schema', {
      unregistered: 'any more',
      signal,
    });
    return await target.run(use);
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step, side: 'target' }, 'SchemaFailed');
  }
}
