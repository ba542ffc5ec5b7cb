/** The one place where a cutover begins: at once when it is asked for, or later, when its window opens or it is approved. */
import type { Deferred } from './deferred.ts';
import type { CutoverRequest, Execution } from './execution.ts';

/**
 * Makes the cutover the next thing that the main loop does. Only in a stage in which `cutover` is allowed.
 * @param order a rehearsal never switches.
 * @param answer what every caller that waits for its end gets.
 */
export function beginCutover(
  run: Execution,
  order: Omit<CutoverRequest, 'answer' | 'scope' | 'cancelled'>,
  answer: Deferred<string>,
  type: 'cutover' | 'rehearse' = 'cutover',
): void {
  run.cutover = { ...order, answer, scope: undefined, cancelled: false };
  // Now and not when the drain begins, so that a pause in between cancels the cutover.
  run.tell({ type });
  run.asking?.cancel();
  run.lease?.scope.cancel();
}
