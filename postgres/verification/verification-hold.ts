/** Holds one anchor for a verification: one slice. Vacuum removes nothing on either side meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuardInput } from '../../contract/guard.ts';
import type { AnchorHoldReport } from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import { connectTarget } from '../session/open.ts';
import type { Verified } from '../store/verification.ts';
import { readLeft } from '../store/verification-table.ts';
import { HOLD_MS } from './anchor.ts';
import { guarding } from './guarded-run.ts';
import type { HeldState, StateSource } from './held-state.ts';

/** Step input. Tables that a slice does not finish begin again under the next anchor. */
export interface HeldSlice extends Verified {
  /** Unset: 15. */
  readonly sliceMinutes?: number;
  /** What must not be exceeded on the source while rows are compared. */
  readonly guard?: GuardInput;
}

const MS_PER_MINUTE = 60_000;
const LOOK_EVERY_MS = 500;

/** Milliseconds that a state is read at most. */
export const sliceMs = ({ sliceMinutes }: Pick<HeldSlice, 'sliceMinutes'>): number =>
  sliceMinutes === undefined ? HOLD_MS : sliceMinutes * MS_PER_MINUTE;

/**
 * Holds an anchor until every table is summed up, only tables are left that need another one, the slice is over, or the work is
 * cancelled; then returns.
 * @throws what holding an anchor throws.
 */
export async function holdVerification(
  step: HeldSlice,
  work: Work,
  states: StateSource,
): Promise<AnchorHoldReport> {
  try {
    const holdMs = sliceMs(step);
    const use = async ({ id }: HeldState, over: AbortSignal) => {
      await using target = await connectTarget(step.migration, 'verify', { signal: work.signal });
      await using guard = await guarding(step, target, work);
      const ends = performance.now() + holdMs;
      let seen = await readLeft(target, step, id);
      while (seen === 'something' && performance.now() < ends && !over.aborted) {
        await sleep(LOOK_EVERY_MS, undefined, { signal: over }).catch(() => undefined);
        work.signal.throwIfAborted();
        seen = await readLeft(target, step, id);
        // The anchor's sessions report life themselves; this one shows that the target answers.
        work.beat({ step: 'holding an anchor', ...guard?.details });
      }
      return seen;
    };
    const left = await states.hold(step.migration, work, use, holdMs);
    return { nothingLeft: left === 'nothing' };
  } catch (error) {
    if (work.signal.aborted) return { nothingLeft: false };
    throw error;
  }
}
