/** How failures are classified, and how they are worded for people. */
import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  TemporalFailure,
} from '@temporalio/workflow';
import type { FailureSide } from '../contract/failure.ts';
import { isFailureCode, type FailureCode } from '../contract/failure-catalogue.ts';
import type { Reason } from './state/reason.ts';

/**
 * A failure that reads well in CLI and Web UI. Without the stack, because a stack repeats the whole message. A failure
 * of our own, because a rethrown ActivityFailure reads "Activity task failed" and is printed twice.
 */
export function ending(
  type: FailureCode | 'Refused' | 'Ended',
  message: string,
  ...details: unknown[]
): ApplicationFailure {
  const failure = ApplicationFailure.nonRetryable(message, type, ...details);
  failure.stack = '';
  return failure;
}

/**
 * Why a step failed. Any end of an activity counts (a timeout without retries, a manual completion), so that no failure
 * of a step can end a migration that has rows.
 * @returns undefined for anything that is no Temporal failure: a bug, or continue-as-new.
 */
export function reasonOf(error: unknown): Reason | undefined {
  if (!(error instanceof TemporalFailure)) return undefined;
  const cause = error instanceof ActivityFailure ? (error.cause ?? error) : error;
  const type = cause instanceof ApplicationFailure ? cause.type : undefined;
  const code = isFailureCode(type) ? type : 'Internal';
  const side = cause instanceof ApplicationFailure ? sideOf(cause.details?.[0]) : undefined;
  return { code, message: cause.message, ...(side === undefined ? {} : { side }) };
}

function sideOf(details: unknown): FailureSide | undefined {
  if (typeof details !== 'object' || details === null || !('side' in details)) return undefined;
  return SIDES.find((side) => side === details.side);
}

const SIDES: readonly FailureSide[] = ['source', 'target', 'unknown'];

/** Whether the scope that this code runs in was cancelled. */
export function isStopped(): boolean {
  return CancellationScope.current().consideredCancelled;
}

/**
 * To be called after every await of an activity: a stopped activity may end as returned, cancelled, failed or timed out, and
 * only the scope says whether we stopped it. Without this check a snapshot owner or drain that *returns* looks like success.
 * @throws CancelledFailure
 */
export function throwIfStopped(): void {
  if (isStopped()) throw new CancelledFailure('stopped');
}

/** Throws what was caught or made, as an expression. */
export function raise(error: unknown): never {
  throw error;
}
