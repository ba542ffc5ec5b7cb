/**
 * A verification, beside the stream and in slices. Each slice has one anchor, a state that both sides show: its owner keeps it for
 * some minutes, and the runs of the plan are compared under it in parallel. What is compared is recorded on the target, so a
 * verification goes on after kills, pauses and continue-as-new. It is never what a migration waits for: a failure is shown and
 * retried, and when the stream stops, the work on it stops.
 *
 *   anchor owner             comparing                 what follows
 *   runs, or ended by it     plan is empty             the report
 *   slice is over            any                       next slice
 *   runs                     runs finished no piece    next slice, after a pause
 *   failed, may pass         any                       next slice, after a pause
 *   runs                     a run failed, may pass    next slice, after a pause
 *   failed otherwise         any                       the verification ends without a report
 *   runs                     a run failed otherwise    the same, when the other runs have ended
 */
import {
  CancellationScope,
  condition,
  isCancellation,
  log,
  patched,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import { FAILURES } from '../contract/failure-catalogue.ts';
import type { VerificationPlan, VerificationRun } from '../contract/verification.ts';
import { long } from './activities.ts';
import { Deferred } from './deferred.ts';
import type { Execution, Verifier } from './execution.ts';
import { ending, raise, reasonOf, throwIfStopped } from './failure.ts';
import { heldWhile } from './held.ts';
import {
  ANCHOR_OWNER,
  FIRST_VERIFY_PAUSE_MS,
  LONG,
  LONGEST_VERIFY_PAUSE_MS,
  VERIFYING,
} from './options.ts';
import { inParallel, streamsOf } from './parallel.ts';
import { passing } from './retry-until-done.ts';
import type { Reason } from './state/reason.ts';
import { verificationOf } from './state/verification-fact.ts';
import { isDue } from './verification-due.ts';
import { reportText, stillRunningText } from './verification-text.ts';

const isEarly = (): boolean => patched('verify-early');

/** Begins a verification that is due by the input, and continues one that the last run or a pause interrupted. */
export function verifyWhenDue(run: Execution): void {
  // On the way back the stream runs in the other direction.
  if (run.isBack) return;
  // Asked last: histories of earlier code have no verification, and the answer is recorded.
  if (isDue(run.input.verify, run.state, Date.now(), isEarly) && patched('verification')) {
    run.tell({ type: 'verify', id: uuid4(), by: 'input' });
  }
  keepVerifying(run);
}

/** Works on the running verification, if there is one and nothing does already. Returns at once. */
export function keepVerifying(run: Execution): void {
  if (run.verifier || !mayVerify(run)) return;
  const verifier: Verifier = {
    scope: new CancellationScope(),
    ...{ idle: false, sooner: false },
    ended: new Deferred<void>(),
  };
  run.verifier = verifier;
  // Belongs to the run, not to its caller, which may be an update.
  void work(run, verifier);
}

/** Only while the stream runs: it is what stands at an anchor. A run of the chain that is about to end begins no slice. */
function mayVerify(run: Execution): boolean {
  if (run.at !== 'streaming' || !run.state.consistent) return false;
  return verificationOf(run.state).running !== null && !workflowInfo().continueAsNewSuggested;
}

async function work(run: Execution, verifier: Verifier): Promise<void> {
  try {
    await verifier.scope.run(() => verify(run, verifier));
  } catch (error) {
    // Anything else is a programming error, which fails the workflow task.
    if (!isCancellation(error)) throw error;
  } finally {
    run.verifier = undefined;
    verifier.ended.give();
  }
  // A pause and a resume may both have come while its activities ended.
  keepVerifying(run);
}

async function verify(run: Execution, verifier: Verifier): Promise<void> {
  let failures = 0;
  while (mayVerify(run)) {
    const outcome = await slice(run).catch((error: unknown) => failureOf(error));
    throwIfStopped();
    if (outcome === 'reported') return;
    if (outcome === 'again') {
      failures = 0;
      continue;
    }
    const { reason, passes } = outcome;
    const id = idOf(run);
    log.warn('the verification does not proceed', { ...reason });
    if (!passes) {
      run.tell({ type: 'verificationFailed', id, reason });
      run.answerVerified({ failure: ending(reason.code, failedText(reason)) });
      return;
    }
    run.tell({ type: 'verificationFailing', id, reason });
    await pauseBefore(verifier, failures++);
  }
}

interface Failed {
  readonly reason: Reason;
  /** Whether another slice may succeed without intervention. */
  readonly passes: boolean;
}

function failureOf(error: unknown): Failed {
  throwIfStopped();
  const passes = passing(error);
  const reason = passes ?? reasonOf(error) ?? raise(error);
  // A run whose anchor ended fails as a copy does whose snapshot is lost.
  return { reason, passes: passes !== undefined || FAILURES[reason.code].handling === 'pass' };
}

const failedText = ({ message }: Reason): string =>
  `the verification ended without a result: ${message}; call it again when that is corrected`;

/** A caller of `verify` ends it. Nothing is pending meanwhile, so the run of the chain may end. */
async function pauseBefore(verifier: Verifier, failures: number): Promise<void> {
  const pause = Math.min(FIRST_VERIFY_PAUSE_MS * 2 ** failures, LONGEST_VERIFY_PAUSE_MS);
  verifier.idle = true;
  verifier.sooner = false;
  await condition(() => verifier.sooner, pause, { summary: 'before the next try to verify' });
  verifier.idle = false;
}

/** One anchor and what is compared under it, or a repair. */
async function slice(run: Execution): Promise<'reported' | 'again'> {
  const id = idOf(run);
  const repairs = verificationOf(run.state).running?.repairs ?? null;
  if (repairs !== null) return repairRows(run, id, repairs);
  run.tell({ type: 'sliceBegun', id });
  const met = { pieces: 0 };
  const { first, owner, worked } = await heldWhile(
    () => holdAnchor(run, id),
    () => planAndCompare(run, id, met),
  );
  throwIfStopped();
  if (worked.status === 'fulfilled' && worked.value === 'complete') return conclude(run, id, id);
  if (first === 'work' && worked.status === 'rejected') raise(worked.reason);
  if (owner.status === 'rejected') raise(owner.reason);
  if (met.pieces > 0) return 'again';
  throw ending('Stalled', 'no piece was compared under the last anchor');
}

/** The step compares the repaired rows again, too. One that was interrupted begins again: what is equal by then is not written. */
async function repairRows(run: Execution, id: string, verification: string): Promise<'reported'> {
  const report = await long.repairRows.executeWithOptions(
    { ...VERIFYING, activityId: 'repair', summary: 'repair differing rows' },
    [{ ...run.step, verification }],
  );
  throwIfStopped();
  run.tell({ type: 'rowsRepaired', id, report });
  return conclude(run, id, verification);
}

function holdAnchor(run: Execution, verification: string) {
  const { verifySliceMinutes: sliceMinutes, guard } = run.input;
  return long.holdAnchor.executeWithOptions(
    { ...ANCHOR_OWNER, activityId: 'anchor', summary: 'hold an anchor' },
    [{ ...run.bare, verification, sliceMinutes, ...(guard ? { guard } : {}) }],
  );
}

async function planAndCompare(
  run: Execution,
  id: string,
  met: { pieces: number },
): Promise<'complete' | 'again'> {
  for (let idle = 0; ;) {
    const plan = await long.planVerification.executeWithOptions(
      { ...LONG, activityId: 'verify-plan', summary: 'plan verification' },
      [{ ...run.step, verification: id }],
    );
    throwIfStopped();
    run.tell({ type: 'verificationPlanned', id, plan });
    if (plan.runs.length === 0) return 'complete';
    const before = met.pieces;
    const { failed, lost } = await compareRuns(run, id, plan, met);
    if (failed) raise(failed.error);
    // Once is usual: a worker died with the anchor, and the next plan is for the next one. Runs that find nothing to do twice would
    // be planned again without end.
    idle = met.pieces === before ? idle + 1 : 0;
    if (idle > 1) return lost ? raise(lost.error) : 'again';
  }
}

interface Met {
  failed?: { readonly error: unknown };
  /** The anchor ended under a run. */
  lost?: { readonly error: unknown };
}

async function compareRuns(
  run: Execution,
  id: string,
  plan: VerificationPlan,
  counter: { pieces: number },
): Promise<Met> {
  const met: Met = {};
  const most = (): number => (met.lost ? 0 : streamsOf(run, plan));
  await inParallel(run, plan.runs, most, async (next) => {
    try {
      const report = await compareOne(run, id, next);
      throwIfStopped();
      counter.pieces += report.pieces;
      run.tell({ type: 'piecesCompared', id, report });
    } catch (error) {
      throwIfStopped();
      const { code } = reasonOf(error) ?? raise(error);
      if (FAILURES[code].handling === 'pass') met.lost ??= { error };
      // The others continue: a finished table stays finished.
      else met.failed ??= { error };
    }
  });
  return met;
}

/** Retried without end: when the anchor ends, so does the run. */
function compareOne(run: Execution, verification: string, next: VerificationRun) {
  return long.comparePieces.executeWithOptions(
    { ...LONG, activityId: next.id, summary: `compare ${next.label}` },
    [{ ...run.bare, verification, run: next, sliceMinutes: run.input.verifySliceMinutes }],
  );
}

/**
 * Names the keys where sums differ, at an anchor of its own, and gives the report to those who wait.
 * @param verification the one that the report is of: after a repair the one that found the differences.
 */
async function conclude(run: Execution, id: string, verification: string): Promise<'reported'> {
  const report = await long.concludeVerification.executeWithOptions(
    { ...VERIFYING, activityId: 'verify-result', summary: 'result of the verification' },
    [{ ...run.step, verification }],
  );
  throwIfStopped();
  const repaired = id === verification ? null : (verificationOf(run.state).running?.repaired ?? 0);
  run.tell({ type: 'verificationEnded', id, report });
  const { result, tables, rows, lsn, seconds } = report;
  log.info('verification', { result, tables, rows, lsn, seconds });
  run.answerVerified({ text: reportText(report, repaired) });
  return 'reported';
}

/** @throws TypeError when none runs: only a programming error asks then. */
function idOf(run: Execution): string {
  return verificationOf(run.state).running?.id ?? raise(new TypeError('no verification runs'));
}

/**
 * Before continue-as-new, which open updates prevent: answers those who wait for a verification that goes on in the next run.
 * A handler that waited for hours would let the history grow for as long.
 */
export async function releaseCallers(run: Execution): Promise<void> {
  run.answerVerified({ text: stillRunningText(verificationOf(run.state).running) });
  await condition(() => run.verifyCallers === 0);
}

/** Whether an activity of a verification may be pending. */
export function isVerifying({ verifier }: Execution): boolean {
  return verifier !== undefined && !verifier.idle;
}

/** Ends the work on a verification, and waits until no activity of it is left. */
export async function stopVerifying({ verifier }: Execution): Promise<void> {
  verifier?.scope.cancel();
  await verifier?.ended.promise;
}
