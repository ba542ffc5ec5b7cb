/**
 * Limits while the migration runs. They live in the state; running activities see them in a row of the control schema,
 * which a short step writes. When the target is down, the step keeps retrying in the background, and the caller of
 * `setLimits` gets that as the answer.
 */
import {
  ActivityCancellationType,
  CancellationScope,
  isCancellation,
  log,
  type RetryPolicy,
} from '@temporalio/workflow';
import { guardReport } from '../contract/guard.ts';
import { parseChange, sameLimits, UNLIMITED, type Limits } from '../contract/limits.ts';
import * as v from 'valibot';
import { quick } from './activities.ts';
import { Deferred } from './deferred.ts';
import type { Execution } from './execution.ts';
import { ending, reasonOf } from './failure.ts';
import { passing } from './retry-until-done.ts';
import { FIRST_TRIES, FURTHER_TRIES, QUICK } from './options.ts';
import type { Reason } from './state/reason.ts';
import { STAGES } from './state/stage.ts';
import { limitsText } from './wording.ts';

/** @throws ApplicationFailure `Refused` naming what is wrong; changes nothing. */
function requireChange(raw: unknown): Partial<Limits> {
  const parsed = parseChange(raw);
  if (!parsed.ok) throw ending('Refused', parsed.message);
  return parsed.change;
}

/**
 * What the validator of `setLimits` demands beyond {@link requireChange}: no switch for a guard that the input does not
 * have. Only in the validator: earlier code accepted it, and a replay has to accept it again.
 * @throws ApplicationFailure `Refused`.
 */
export function requireFittingChange(run: Execution, raw: unknown): void {
  const { guard } = requireChange(raw);
  if (guard === undefined || run.input.guard !== undefined) return;
  throw ending('Refused', 'invalid limits: "guard": the input of this migration has no guard');
}

/** Carries out the update `setLimits`. Without a change it only answers. */
export async function setLimits(run: Execution, raw: unknown): Promise<string> {
  const wanted = { ...run.limits, ...requireChange(raw) };
  if (!sameLimits(wanted, run.limits)) {
    const { version, stored } = versionsOf(run);
    run.tell({ type: 'setLimits', values: wanted, version: later(version), stored });
    log.info('limits', { ...run.shownLimits });
    run.limitsChanged.give();
    run.limitsChanged = new Deferred();
  }
  const said = `Limits: ${limitsText(run.shownLimits)}.`;
  if (!isUnstored(run)) return said;
  // There is no control schema yet; the copy starts with these limits.
  if (!run.hasRows) return `${said} They apply when the copy begins.`;
  const unstored = await storeLimits(run);
  if (unstored === null && isUnstored(run)) {
    throw ending('Ended', 'the migration ended before the limits were in force');
  }
  if (unstored === null) return `${said} In force within seconds.`;
  return `${said} Not in force yet: they could not be written into the control schema on the target (${unstored.message}); ${
    run.storing ? 'retried automatically' : 'fix that, then set them again'
  }.`;
}

const MS_PER_SECOND = 1000;

/**
 * Greater than the version of a run that was reset and had counted further: its limits are in the control schema, which
 * refuses older ones.
 */
const later = (version: number) => Math.max(version + 1, Math.floor(Date.now() / MS_PER_SECOND));

/** Limits of the input count as changed when they differ from the defaults of a control schema without limits. */
function versionsOf(run: Execution): { readonly version: number; readonly stored: number } {
  if (run.state.limits) return run.state.limits;
  return { version: sameLimits(run.limits, UNLIMITED) ? 0 : 1, stored: 0 };
}

export function isUnstored(run: Execution): boolean {
  const { version, stored } = versionsOf(run);
  return version > stored;
}

/**
 * Writes limits that are not written yet; joins a write that is running.
 * @returns null when they are in force, or why they are not after two tries: then it continues in the background if
 * that can help.
 */
export async function storeLimits(run: Execution): Promise<Reason | null> {
  if (!run.storing) {
    const storing = { scope: new CancellationScope(), first: new Deferred<Reason | null>() };
    run.storing = storing;
    // Belongs to the run, not to the caller: it survives an update that was answered and a pass of the copy that ended.
    void storing.scope.run(() => store(run, storing.first));
  }
  return run.storing.first.promise;
}

/** Why a series of tries ended, and whether the next one may succeed without intervention. */
type Failed = Reason & { readonly passes: boolean };

async function store(run: Execution, first: Deferred<Reason | null>): Promise<void> {
  let failed: Failed | null = null;
  try {
    for (let retry: RetryPolicy = FIRST_TRIES; isUnstored(run); retry = FURTHER_TRIES) {
      failed = await storeOnce(run, retry);
      run.tell({ type: 'limitsUnstored', reason: failed });
      if (failed === null) continue;
      log.warn('limits could not be written', { code: failed.code, reason: failed.message });
      if (!failed.passes) break;
      first.give(failed);
    }
  } catch (error) {
    if (!isCancellation(error)) throw error;
  } finally {
    run.storing = undefined;
    first.give(failed);
  }
}

async function storeOnce(run: Execution, retry: RetryPolicy): Promise<Failed | null> {
  const { version } = versionsOf(run);
  const values = run.limits;
  try {
    await quick.storeLimits.executeWithOptions(
      {
        ...QUICK,
        retry,
        // The end of the migration must not wait for a target that hangs; a late write does no harm.
        cancellationType: ActivityCancellationType.TRY_CANCEL,
        ...{ activityId: 'limits', summary: `limits: ${limitsText(run.shownLimits)}` },
      },
      [{ ...run.bare, limits: values, version }],
    );
    run.tell({ type: 'limitsStored', values, version });
    return null;
  } catch (error) {
    if (isCancellation(error)) throw error;
    const reason = passing(error) ?? reasonOf(error);
    if (!reason) throw error;
    return { ...reason, passes: passing(error) !== undefined };
  }
}

/** Ends the write that continues in the background. */
export function stopStoring(run: Execution): void {
  run.storing?.scope.cancel();
}

/** Takes a report of the source's guard. Anything else is ignored: anyone can send a signal. */
export function noteGuard(run: Execution, report: unknown): void {
  if (run.input.guard === undefined || STAGES[run.at].phase !== 'snapshot') return;
  if (!v.is(guardReport, report)) return;
  run.tell({ type: 'guardReported', report });
  const { measure, value, ceiling } = report;
  log.info(report.holding ? 'the guard holds the copy' : 'the guard does not hold the copy', {
    ...{ measure, value, ceiling },
  });
}
