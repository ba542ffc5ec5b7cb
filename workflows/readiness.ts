/**
 * Readiness in the workflow: measured every two minutes while changes are streamed, judged whenever it is shown, and measured once more
 * before a cutover, which it refuses before anything is changed.
 */
import { CancellationScope, log, patched, sleep } from '@temporalio/workflow';
import { isFenced } from '../contract/cutover.ts';
import { wordFindings, type Readiness, type ReadinessFinding } from '../contract/readiness.ts';
import type { ReadinessCode } from '../contract/readiness-finding.ts';
import { acceptedBy } from './accepted.ts';
import { quick } from './activities.ts';
import { requireDefinitionsBack } from './definitions-back.ts';
import { compareBeforeCutover, compareWhenDue } from './definitions.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { ending, isStopped, reasonOf } from './failure.ts';
import { BESIDE, BETWEEN_MEASUREMENTS_MS, LEASE_SETTLES_MS, QUICK } from './options.ts';
import { retryUntilDone } from './retry-until-done.ts';
import { readinessOf, unverifiedOf } from './state/judged.ts';
import type { State } from './state/state.ts';
import { verificationOf } from './state/verification-fact.ts';

/** Histories of earlier code have no such activity. */
const PATCH = 'readiness-2';
/** Histories of earlier code cut over without a verification. */
const VERIFIED_PATCH = 'verified-cutover';
/** Histories of earlier code interrupt the verification and are refused then. */
const REFUSES_PATCH = { cutover: VERIFIED_PATCH, rehearsal: 'verified-rehearsal' } as const;
/** Histories of earlier code refuse on the whole estimate, with what it guesses. */
const MEASURED_PATCH = 'refuses-on-measured';
const VERIFIED: readonly ReadinessCode[] = ['verification-missing', 'verification-old'];

/** Measures while the lease runs. The stream depends in no way on it: failures are logged, and it ends with the lease. */
export async function assessedBeside<T>(run: Execution, lease: () => Promise<T>): Promise<T> {
  if (run.isBack || !patched(PATCH)) return lease();
  const scope = new CancellationScope();
  const assessing = scope.run(() => assessAgain(run, scope));
  try {
    return await lease();
  } finally {
    scope.cancel();
    await assessing;
  }
}

async function assessAgain(run: Execution, scope: CancellationScope): Promise<void> {
  let wait = firstWait(run.state);
  for (;;) {
    try {
      if (wait > 0) await sleep(wait, { summary: 'until readiness is measured again' });
      const facts = await quick.assessReadiness.executeWithOptions(
        { ...BESIDE, summary: 'assess readiness' },
        [run.step],
      );
      run.tell({ type: 'readinessAssessed', facts });
      await compareWhenDue(run);
    } catch (error) {
      if (scope.consideredCancelled || isStopped()) return;
      log.info('readiness was not assessed', { why: reasonOf(error)?.message ?? 'unknown' });
    }
    wait = BETWEEN_MEASUREMENTS_MS;
  }
}

/** Never with the beginning of a lease, but with the first. */
function firstWait({ readiness }: State): number {
  if (readiness === undefined) return 0;
  const age = Date.now() - Date.parse(readiness.at);
  return Math.max(LEASE_SETTLES_MS, BETWEEN_MEASUREMENTS_MS - age);
}

/**
 * Compares definitions and measures again, and refuses the cutover if a finding blocks it that is not accepted.
 * @throws ApplicationFailure `NotReady` with the list.
 */
export async function requireReady(
  run: Execution,
  order: Pick<CutoverRequest, 'compare' | 'maxDowntimeSeconds' | 'accept'>,
): Promise<void> {
  // Whoever needs the old database back needs it now: nothing is measured, and what it lacks is all that refuses.
  if (run.isBack) return requireDefinitionsBack(run, order);
  if (!patched(PATCH)) return;
  await compareBeforeCutover(run);
  const facts = await retryUntilDone(run, 'assess readiness', (retry) =>
    quick.assessReadiness.executeWithOptions(
      { ...QUICK, retry, activityId: 'readiness', summary: 'assess readiness' },
      [run.step],
    ),
  );
  run.tell({ type: 'readinessAssessed', facts });
  const accepted = acceptedBy(run, order);
  const found = readinessOf(run.state, run.input, order, accepted);
  if (found?.ready === true && isGuessedTooLong(run, found, order, accepted)) throw notReady([]);
  if (found === undefined || found.ready) return;
  const blocking = found.findings.filter(
    ({ code, level }) => level === 'blocks' && !accepted.includes(code),
  );
  if (blocking.every(({ code }) => VERIFIED.includes(code)) && !patched(VERIFIED_PATCH)) return;
  throw notReady(blocking);
}

/** Only in a replay. */
function isGuessedTooLong(
  { input }: Execution,
  { estimateSeconds }: Readiness,
  { maxDowntimeSeconds }: Pick<CutoverRequest, 'maxDowntimeSeconds'>,
  accepted: readonly ReadinessCode[],
): boolean {
  const fits = estimateSeconds <= maxDowntimeSeconds || accepted.includes('downtime-too-long');
  return isFenced(input) && !fits && !patched(MEASURED_PATCH);
}

/**
 * Refuses a cutover, or a rehearsal, that would be refused for want of a verification, before it begins: that would interrupt the one
 * that runs, or keep one from beginning, and who asks again within seconds would never see it end. Changes nothing.
 * @throws ApplicationFailure `NotReady`.
 */
export function requireVerified(
  run: Execution,
  order: Pick<CutoverRequest, 'accept'>,
  what: 'cutover' | 'rehearsal' = 'cutover',
): void {
  if (run.isBack) return;
  const now = new Date().toISOString();
  const blocking = unverifiedOf(run.state, run.input, now, acceptedBy(run, order));
  // Asked last: histories of earlier code have no such refusal.
  if (blocking.length === 0 || !patched(REFUSES_PATCH[what])) return;
  const { message } = notReady(blocking);
  const running = verificationOf(run.state).running !== null;
  throw ending(
    'NotReady',
    `${what} refused${running ? ', the verification continues' : ''}: ${message}`,
  );
}

function notReady(findings: readonly ReadinessFinding[]) {
  return ending('NotReady', `not ready: ${wordFindings({ findings }).join('; ')}`);
}
