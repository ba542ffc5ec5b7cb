/** A whole verification in one process: the same steps in the same order as the workflow's. For tests and for measuring. */
import type { MigrationInput } from '../../contract/input-schema.ts';
import type {
  VerificationReport,
  VerificationRun,
  VerifiedTables,
} from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import type { Verified } from '../store/verification.ts';
import { concludeVerification } from './conclusion.ts';
import type { HeldState, StateSource } from './held-state.ts';
import { comparePieces } from './piece-run.ts';
import { planVerification } from './verification-plan.ts';

export interface WholeVerification extends Verified {
  readonly input: MigrationInput;
  readonly tables?: VerifiedTables;
}

/**
 * Holds anchors until a plan finds nothing left, and concludes.
 * @param compare compares one run; unset: in this process.
 */
export async function runVerification(
  step: WholeVerification,
  work: Work,
  states: StateSource,
  compare: (run: VerificationRun) => Promise<unknown> = (run) =>
    comparePieces({ ...step, run }, work),
): Promise<VerificationReport> {
  const { migration } = step;
  let left = true;
  while (left) {
    left = await states.hold(migration, work, async (state: HeldState) => {
      const plan = await planVerification(step, work, {
        ...states,
        live: () => Promise.resolve(state),
      });
      await inParallel(plan.runs, plan.parallelism, compare);
      return plan.runs.length > 0;
    });
  }
  return concludeVerification(step, work, states);
}

async function inParallel<T>(
  items: readonly T[],
  most: number,
  run: (item: T) => Promise<unknown>,
): Promise<void> {
  const waiting = [...items];
  const lane = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: Math.max(1, most) }, lane));
}
