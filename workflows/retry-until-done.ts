/**
 * A step of the cutover retries until it succeeds or a person is needed, and says so: with endless retries by Temporal, a
 * failing step would look to the workflow, and to everyone who queries it, like one that works. So the tries come in series. A
 * series that ends with a failure that may pass (a database is down) is shown, with what can be done, and the next one begins.
 */
import { ActivityFailure, TimeoutFailure, log, type RetryPolicy } from '@temporalio/workflow';
import { FAILURES } from '../contract/failure-catalogue.ts';
import { actionOf, directionOf } from './direction.ts';
import type { Execution } from './execution.ts';
import { reasonOf, throwIfStopped } from './failure.ts';
import { FIRST_TRIES, FURTHER_TRIES } from './options.ts';
import type { Reason } from './state/reason.ts';

/**
 * Runs a step until it succeeds.
 * @param step as people read it: `drain`, `compare row counts`.
 * @param work runs the activity with these retries.
 * @throws the failure of the step when a retry does not help; CancelledFailure.
 */
export async function retryUntilDone<T>(
  run: Execution,
  step: string,
  work: (retry: RetryPolicy) => Promise<T>,
): Promise<T> {
  run.tell({ type: 'stepBegun', step });
  for (let retry = FIRST_TRIES; ; retry = FURTHER_TRIES) {
    try {
      const result = await work(retry);
      throwIfStopped();
      return result;
    } catch (error) {
      throwIfStopped();
      const reason = passing(error);
      if (!reason) throw error;
      log.warn('a step of the cutover keeps failing', { step, ...reason });
      const { code, message } = reason;
      run.tell({ type: 'stepFailing', code, reason: message, action: actionFor(run, reason) });
    }
  }
}

/** Why a series of tries ended, if the next one may succeed without intervention. */
export function passing(error: unknown): Reason | undefined {
  const reason = reasonOf(error);
  if (!reason) return undefined;
  // A worker that died or a database that hangs: the failure of the activity itself is not known.
  if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) {
    return { code: 'Stalled', message: 'neither the step nor its worker answered' };
  }
  return FAILURES[reason.code].handling === 'timed' ? reason : undefined;
}

const actionFor = (run: Execution, { code }: Reason): string =>
  `${actionOf(run, code)} The step is retried automatically; pause cancels the ${directionOf(run).what}.`;
