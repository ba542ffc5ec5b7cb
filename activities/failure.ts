/**
 * Errors on their way to Temporal. The code becomes the failure's type, and the catalogue alone decides about retries. Only
 * walferry's own messages go out: they name tables, LSN and SQLSTATE, never a server's message, which may contain row values.
 */
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { FAILURES } from '../contract/failure-catalogue.ts';
import { classify } from '../postgres/connection/failure.ts';

/**
 * The next attempt may land on this worker again, where it keeps its position in the queue. Not worth a warning per
 * attempt: the worker logs one for all of them.
 */
const WORKER_FULL = {
  nextRetryDelay: '1 second',
  category: ApplicationFailureCategory.BENIGN,
} as const;

/** @param step name of the activity, for errors without a code. */
export function toApplicationFailure(error: unknown, step: string): ApplicationFailure {
  if (error instanceof ApplicationFailure) return error;
  const { code, message, details } = classify(error, { step }, 'Internal');
  const failure = ApplicationFailure.create({
    type: code,
    message,
    // The operator sees it at once instead of after attempts that cannot succeed.
    nonRetryable: FAILURES[code].handling !== 'timed',
    details: [details],
    ...(code === 'WorkerFull' ? WORKER_FULL : {}),
  });
  // History has many readers, and a stack contains paths of this machine. The cause stays here for the same reason.
  failure.stack = '';
  return failure;
}
