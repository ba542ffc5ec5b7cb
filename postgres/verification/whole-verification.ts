/** A whole verification in one process: the same steps in the same order as the workflow's. For a cutover that compares every row, for tests and for measuring. */
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { VerificationReport, VerificationRun } from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import type { Verified } from '../store/verification.ts';
import { concludeVerification } from './conclusion.ts';
import type { StateSource } from './held-state.ts';
import { comparePieces } from './piece-run.ts';
import { holdVerification, type HeldSlice } from './verification-hold.ts';
import { planVerification } from './verification-plan.ts';

export interface WholeVerification extends Verified {
  readonly input: MigrationInput;
  /** Without limits and guard. */
  readonly unpaced?: true;
}

/**
 * Holds anchors beside plans and runs until a plan finds nothing left, and concludes.
 * @param compare compares one run; unset: in this process.
 */
export async function runVerification(
  step: WholeVerification,
  work: Work,
  states: StateSource,
  compare: (run: VerificationRun) => Promise<unknown> = (run) =>
    comparePieces({ ...step, run }, work),
): Promise<VerificationReport> {
  const failed = new AbortController();
  const bound: Work = { ...work, signal: AbortSignal.any([work.signal, failed.signal]) };
  const { migration, verification, input } = step;
  const { guard, verifySliceMinutes: sliceMinutes } = input;
  const slice = {
    migration,
    verification,
    sliceMinutes,
    ...(guard && !step.unpaced ? { guard } : {}),
  };
  const holding = holdAll(slice, bound, states).catch((error: unknown) => {
    failed.abort(error);
    throw error;
  });
  // Awaited below; until then a failure must not count as unhandled.
  holding.catch(() => undefined);
  try {
    for (;;) {
      const plan = await planVerification(step, bound, states);
      if (plan.runs.length === 0) break;
      await inParallel(plan.runs, plan.parallelism, compare);
    }
  } catch (error) {
    failed.abort(error);
    await holding.catch(() => undefined);
    throw error;
  }
  await holding;
  return concludeVerification(step, work, states);
}

async function holdAll(step: HeldSlice, work: Work, states: StateSource): Promise<void> {
  while (!work.signal.aborted && !(await holdVerification(step, work, states)).nothingLeft);
}

async function inParallel<T>(
  items: readonly T[],
  most: number,
  run: (item: T) => Promise<unknown>,
): Promise<void> {
  const waiting = [...items];
  const stream = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: Math.max(1, most) }, stream));
}
