/**
 * A step of the cutover tries until it succeeds or a person is needed, and says so: a step that Temporal tried again
 * without end would look to the workflow like one that works, and so to everybody who asks it. The tries are dealt out in
 * rounds. A round that ends with a failure that may pass by itself (a database is away) is shown, with what can be done,
 * and the next one begins.
 */
import { ActivityFailure, TimeoutFailure, log, type RetryPolicy } from '@temporalio/workflow';
import { FAILURES } from '../contract/failure.ts';
import type { Execution } from './execution.ts';
import { reasonOf, throwIfStopped, type Reason } from './failure.ts';
import { FIRST_TRIES, FURTHER_TRIES } from './options.ts';

/**
 * Runs a step until it succeeds.
 * @param step as people read it: `drain`, `compare row counts`.
 * @param work runs the activity with these retries.
 * @throws what the step ended with when trying again does not help; CancelledFailure.
 */
export async function retryUntilDone<T>(
  run: Execution,
  step: string,
  work: (retry: RetryPolicy) => Promise<T>,
): Promise<T> {
  const began = now();
  run.cutoverStep = { step, since: began, failing: null };
  run.show();
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
      run.cutoverStep = {
        ...{ step, since: began },
        failing: {
          ...{ code: reason.code, reason: reason.message, action: actionFor(reason) },
          ...{ since: run.cutoverStep.failing?.since ?? now(), seen: now() },
        },
      };
      run.show();
    }
  }
}

/** Why a round of tries ended, if the next one may succeed without anybody's doing. */
export function passing(error: unknown): Reason | undefined {
  const reason = reasonOf(error);
  if (!reason) return undefined;
  // A worker that died or a database that hangs: the activity's own failure is not known then.
  if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) {
    return { code: 'Stalled', message: 'the step did not answer, nor did the worker that ran it' };
  }
  return FAILURES[reason.code].handling === 'timed' ? reason : undefined;
}

const actionFor = ({ code }: Reason): string =>
  `${FAILURES[code].action} The step is tried again by itself; pause calls the cutover off.`;

const now = (): string => new Date().toISOString();
