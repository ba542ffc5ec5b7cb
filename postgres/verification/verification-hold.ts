/** Holds one anchor for a verification: one slice. Vacuum removes nothing on either side meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AnchorHoldReport } from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import { connectTarget } from '../session/open.ts';
import type { Verified } from '../store/verification.ts';
import { readLeft } from '../store/verification-table.ts';
import type { StateSource } from './held-state.ts';

/** Tables that a slice does not finish begin again under the next anchor. */
export const SLICE_MS = 900_000;
const LOOK_EVERY_MS = 500;

/**
 * Holds an anchor until every table is summed up, only tables are left that need another one, the slice is over, or the work is
 * cancelled; then returns.
 * @throws what holding an anchor throws.
 */
export async function holdVerification(
  step: Verified,
  work: Work,
  states: StateSource,
  sliceMs = SLICE_MS,
): Promise<AnchorHoldReport> {
  try {
    const left = await states.hold(step.migration, work, async ({ id }, over) => {
      await using target = await connectTarget(step.migration, 'verify', { signal: work.signal });
      const ends = performance.now() + sliceMs;
      let seen = await readLeft(target, step, id);
      while (seen === 'something' && performance.now() < ends && !over.aborted) {
        await sleep(LOOK_EVERY_MS, undefined, { signal: over }).catch(() => undefined);
        work.signal.throwIfAborted();
        seen = await readLeft(target, step, id);
        // The anchor's sessions report life themselves; this one shows that the target answers.
        work.beat({ step: 'holding an anchor' });
      }
      return seen;
    });
    return { nothingLeft: left === 'nothing' };
  } catch (error) {
    if (work.signal.aborted) return { nothingLeft: false };
    throw error;
  }
}
