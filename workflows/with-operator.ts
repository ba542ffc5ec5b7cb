/**
 * Waiting for the operator. From the copy on no failure of a step ends the migration: it is shown and waited for, and
 * `resume` runs the step again. Where it matters a step is a whole phase: the snapshot owner ends while the migration
 * waits, instead of holding back vacuum on the source for a weekend.
 */
import { condition, log } from '@temporalio/workflow';
import type { Waiting } from '../contract/progress.ts';
import { actionOf, directionOf } from './direction.ts';
import type { Execution } from './execution.ts';
import { reasonOf, throwIfStopped } from './failure.ts';
import { WAIT_TIMER } from './options.ts';
import type { Reason } from './state/reason.ts';

/** Runs a step until it succeeds, waiting for the operator after each failure. */
export async function withOperator<T>(
  run: Execution,
  step: string,
  work: () => Promise<T>,
): Promise<T> {
  for (;;) {
    const outcome = await tried(run, step, work);
    if (outcome) return outcome.value;
  }
}

/**
 * Runs a step once, and waits for the operator when it failed.
 * @returns whether it succeeded; false after a `resume`, for a caller that has work to do before the next try.
 */
export async function attempted(
  run: Execution,
  step: string,
  work: () => Promise<void>,
): Promise<boolean> {
  return (await tried(run, step, work)) !== undefined;
}

async function tried<T>(
  run: Execution,
  step: string,
  work: () => Promise<T>,
): Promise<{ readonly value: T } | undefined> {
  try {
    return { value: await work() };
  } catch (error) {
    throwIfStopped();
    const reason = reasonOf(error);
    if (!reason) throw error;
    // The way back ends: whatever the step failed with no longer matters.
    if (run.at === 'finalizing') return undefined;
    await waitForOperator(run, step, reason);
    return undefined;
  }
}

async function waitForOperator(run: Execution, step: string, reason: Reason): Promise<void> {
  const waiting: Waiting = {
    step,
    code: reason.code,
    reason: reason.message,
    action: actionOf(run, reason.code),
  };
  log.warn('waiting for the operator', { step, code: reason.code, reason: reason.message });
  run.tell({ type: 'operatorNeeded', waiting });
  run.refuseCutover(
    reason,
    `${directionOf(run).what} not started: the migration waits for the operator`,
  );
  // Compared by identity: a resume can be followed by the next failure before this condition is evaluated again.
  await visibly(
    `waiting for the operator: ${waiting.code} in ${step}`,
    () => run.waiting !== waiting,
  );
  // An abort ends the wait, too: the caller must not take it for a resume.
  throwIfStopped();
}

/** A wait that the timeline shows: a timer with a label, at the cost of two events. */
export async function visibly(summary: string, until: () => boolean): Promise<void> {
  while (!(await condition(until, WAIT_TIMER, { summary })));
}
