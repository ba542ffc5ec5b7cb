/** When rows are compared without being asked: `verify` of the input. Pure. */
import { RESULT_HOLDS_HOURS, type VerifyMode } from '../contract/verification-state.ts';
import { AFTER_FAILURE_MS, BETWEEN_VERIFICATIONS_MS } from './options.ts';
import type { State } from './state/state.ts';
import { verificationOf } from './state/verification-fact.ts';

const MS_PER_HOUR = 3_600_000;
const MS_PER_SECOND = 1000;

/**
 * Whether a verification should begin now. The first one begins when the target is complete: all tables have caught up and foreign
 * keys are built, so that it does not compete with what a cutover waits for.
 * @param now milliseconds, in workflow time.
 * @param isPatched whether this history may repeat one before its result is too old: asked only where that decides.
 */
export function isDue(
  verify: VerifyMode,
  state: State,
  now: number,
  isPatched: () => boolean = () => true,
): boolean {
  const { stage, consistent, constraintsBuilt, tables } = state;
  if (verify === 'off' || stage.at !== 'streaming') return false;
  if (!consistent || !constraintsBuilt || tables?.counts['catching-up'] !== undefined) return false;
  const { running, last, outdated, failed } = verificationOf(state);
  const hasPassed = (since: string, milliseconds: number): boolean =>
    now - Date.parse(since) >= milliseconds;
  if (running || (failed && !hasPassed(failed.at, AFTER_FAILURE_MS))) return false;
  if (last === null || outdated) return true;
  const took = last.report.seconds * MS_PER_SECOND;
  const holds = RESULT_HOLDS_HOURS * MS_PER_HOUR;
  if (verify === 'before-cutover') {
    if (hasPassed(last.at, holds)) return true;
    // So early that its result is there when the last one is too old to cut over on. Histories of earlier code waited until then.
    const early = Math.max(holds / 2, holds - 2 * took);
    return hasPassed(last.at, early) && isPatched();
  }
  // At most half of the time is spent reading.
  return hasPassed(last.at, Math.max(BETWEEN_VERIFICATIONS_MS, took));
}
