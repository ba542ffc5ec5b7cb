/**
 * Work beside an activity that keeps something open for it: the exported snapshot of a copy, the anchor of a verification. A plan
 * that finds nothing left ends the owner through the target; every other end is a cancellation.
 */
import { CancellationScope, sleep } from '@temporalio/workflow';

/** For the answer of a plan that has ended the owner. */
const ANSWER_WITHIN = '1 minute';

/** How both ended, and which of them did so by itself. */
export interface Held<T> {
  readonly first: 'work' | 'owner';
  readonly owner: PromiseSettledResult<unknown>;
  readonly worked: PromiseSettledResult<T>;
}

/**
 * Runs both until one of them ends. Both have ended when this returns, whatever happens: cleanup must not start during the work,
 * and what is kept open without need holds back vacuum.
 */
export async function heldWhile<T>(
  hold: () => Promise<{ readonly nothingLeft: boolean } | undefined>,
  work: () => Promise<T>,
): Promise<Held<T>> {
  const holding = new CancellationScope();
  const working = new CancellationScope();
  const held = holding.run(hold);
  const worked = working.run(work);
  const workEnds = worked.then(
    () => 'work' as const,
    () => 'work' as const,
  );
  const first = await Promise.race([
    held.then(
      // The last plan ended the owner; the plan's own result may arrive later.
      (report) => (report?.nothingLeft === true ? answered(workEnds) : ('owner' as const)),
      () => 'owner' as const,
    ),
    workEnds,
  ]);
  working.cancel();
  holding.cancel();
  const [owner, result] = await CancellationScope.nonCancellable(() =>
    Promise.allSettled([held, worked]),
  );
  return { first, owner, worked: result };
}

/** After the owner learned that nothing remains: a plan whose answer was lost would wait for another owner without end. */
function answered(workEnds: Promise<'work'>): Promise<'work' | 'owner'> {
  const waiting = new CancellationScope();
  const late = waiting
    .run(() => sleep(ANSWER_WITHIN))
    .then(
      () => 'owner' as const,
      () => 'owner' as const,
    );
  return Promise.race([workEnds, late]).finally(() => waiting.cancel());
}
