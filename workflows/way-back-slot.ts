/** The slot of the way back before the switch: created beside the stream, and advanced with every lease. */
import { CancellationScope, log, patched, type RetryPolicy } from '@temporalio/workflow';
import type { CutoverOrder } from '../contract/cutover-request.ts';
import { acceptedBy } from './accepted.ts';
import { long } from './activities.ts';
import type { Execution } from './execution.ts';
import { reasonOf, throwIfStopped } from './failure.ts';
import { FIRST_TRIES, LONG } from './options.ts';
import { retryUntilDone } from './retry-until-done.ts';

/** Histories of earlier code never make a slot again. */
const PATCH = 'way-back-again';

/** What runs beside a lease, and is stopped with it. Without one nothing is awaited: histories of earlier code have none. */
export interface Aside {
  stop(): Promise<void>;
}

/** Creates the slot of the way back, or advances it. A failure is noted and tried again with the next lease. */
export function tendWayBack(run: Execution): Aside | null {
  if (run.input.switchback === undefined || run.isBack || !run.state.consistent) return null;
  const scope = new CancellationScope();
  const done = scope
    .run(() => tend(run))
    .catch((error: unknown) => {
      if (scope.consideredCancelled) return;
      const reason = reasonOf(error);
      if (!reason) throw error;
      log.warn('the way back is not ready', { ...reason });
      run.tell({ type: 'wayBackFailed', reason });
    });
  return {
    stop: async () => {
      scope.cancel();
      await done;
    },
  };
}

async function tend(run: Execution): Promise<void> {
  if (isMissing(run)) await open(run);
  const { position = null } = run.state.wayBack ?? {};
  const next = await long.advanceReverseSlot.executeWithOptions(
    { ...LONG, retry: FIRST_TRIES, activityId: 'advance', summary: 'advance the slot back' },
    [{ migration: run.migration, to: position }],
  );
  run.tell({ type: 'wayBackAdvanced', position: next });
}

/** Whether there is no slot: none was made, or it was lost since. Nothing has been released: the application is on the old database. */
function isMissing({ state: { wayBack } }: Execution): boolean {
  return wayBack?.opened !== true || (wayBack.lost === true && patched(PATCH));
}

async function open(run: Execution, retry: RetryPolicy = FIRST_TRIES): Promise<void> {
  // Noted before, because the answer may be lost after the work is done: the ending has to look for it.
  run.tell({ type: 'wayBackNoted', note: 'the way back is being opened' });
  await long.openWayBack.executeWithOptions(
    { ...LONG, retry, activityId: 'way-back', summary: 'open the way back' },
    [{ migration: run.migration }],
  );
  throwIfStopped();
  run.tell({ type: 'wayBackOpened' });
}

/** Before a cutover stops a write: what is wanted afterwards has to be possible. */
export async function requireWayBack(
  run: Execution,
  order: Pick<CutoverOrder, 'accept'>,
): Promise<void> {
  if (run.input.switchback === undefined || run.isBack) return;
  // A position from before this cutover must not be used after its release.
  run.tell({ type: 'wayBackAdvanced', position: null });
  run.withoutWayBack = undefined;
  try {
    if (isMissing(run)) {
      await retryUntilDone(run, 'open the way back', (retry) => open(run, retry));
    }
    await retryUntilDone(run, 'check the way back', (retry) =>
      long.planReverse.executeWithOptions(
        { ...LONG, retry, activityId: 'plan-back', summary: 'check the way back' },
        [{ migration: run.migration, input: run.input }],
      ),
    );
  } catch (error) {
    throwIfStopped();
    const reason = reasonOf(error);
    // The operator has said that the cutover goes on without one.
    if (!reason || !acceptedBy(run, order).includes('no-way-back')) throw error;
    run.tell({ type: 'wayBackFailed', reason });
    run.withoutWayBack = reason.message;
  }
}
