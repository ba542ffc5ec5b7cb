/**
 * Errors on their way to Temporal. The code becomes the failure's type, and the catalogue alone decides about retries. Only
 * our own messages go out: they name tables, LSN and SQLSTATE, never a server's message, which may hold row values.
 */
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { FAILURES } from '../contract/failure.ts';
import { classify } from '../postgres/connection/failure.ts';

/**
 * The next attempt may be this worker's: it comes back to its position in the queue. Not worth a warning for each attempt: the worker
 * says it once for all of them.
 */
const WORKER_FULL = {
  nextRetryDelay: '1 second',
  category: ApplicationFailureCategory.BENIGN,
} as const;

/** @param step name of the activity, for errors that nobody classified. */
export function toApplicationFailure(error: unknown, step: string): ApplicationFailure {
  if (error instanceof ApplicationFailure) return error;
  const { code, message, details } = classify(error, { step }, 'Internal');
  const failure = ApplicationFailure.create({
    type: code,
    message,
    // Whoever is to act is told at once instead of after attempts that cannot succeed.
    nonRetryable: FAILURES[code].handling !== 'timed',
    details: [details],
    ...(code === 'WorkerFull' ? WORKER_FULL : {}),
  });
  // History is read by many, and a stack tells paths of this machine. The cause stays here for the same reason.
  failure.stack = '';
  return failure;
}
