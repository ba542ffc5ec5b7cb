/**
 * Streaming in leases. One `streamChanges` activity works for a lease and returns its checkpoint, which the workflow stores;
 * between leases the workflow pauses, builds what had to wait for consistency, or continues as new. To stop, it cancels the
 * lease's scope: the activity ends at a commit and still returns. If the activity ends in any other way after that, the target
 * is fenced and queried for its position; before a cutover that is not needed, because the drain does both.
 */
import {
  CancellationScope,
  allHandlersFinished,
  continueAsNew,
  log,
  workflowInfo,
  type RetryPolicy,
} from '@temporalio/workflow';
import type { Lsn } from '../contract/lsn.ts';
import type { StreamReport } from '../contract/work.ts';
import { long, quick } from './activities.ts';
import { Deferred } from './deferred.ts';
import { attempted, withOperator, visibly } from './with-operator.ts';
import type { Execution, Lease } from './execution.ts';
import { ending, isStopped, reasonOf, throwIfStopped } from './failure.ts';
import { passing } from './retry-until-done.ts';
import {
  type BOXED_DRAIN,
  CATCH_UP_LEASE_MS,
  CAUGHT_UP_BYTES,
  FIRST_TRIES,
  FURTHER_TRIES,
  LONG,
  REPAIR_LEASE_MS,
  QUICK,
} from './options.ts';
import { assessedBeside } from './readiness.ts';
import { copyRows } from './snapshot.ts';
import type { State } from './state/state.ts';
import { isVerifying, releaseCallers, verifyWhenDue } from './verify.ts';
import { answerWaiting } from './window.ts';
import { tendWayBack } from './way-back-slot.ts';

const MS_PER_SECOND = 1000;

/**
 * Streams until a cutover is requested.
 * @param raw the workflow's input as received, for the next run of the chain.
 */
export async function streamUntilCutover(run: Execution, raw: unknown): Promise<void> {
  // After a failed build the stream runs until it has caught up: rows fixed on the source arrive before the next try.
  let repairing = run.state.consistent && !run.state.constraintsBuilt;
  let outdated = false;
  while (!run.cutover && run.at !== 'finalizing') {
    // A pause that came first holds: a resync would empty tables that the answer of the pause called complete.
    if (outdated && run.at === 'streaming') {
      await withOperator(run, 'resync', () => resync(run));
      throwIfStopped();
      outdated = false;
      continue;
    }
    const { continueAsNewSuggested } = workflowInfo();
    if (continueAsNewSuggested && run.verifyCallers > 0 && !isVerifying(run)) {
      await releaseCallers(run);
      // A cutover, an abort or a pause may have come meanwhile.
      continue;
    }
    if (continueAsNewSuggested) answerWaiting(run);
    // Nothing is pending here, and there is no await between this check and the call: otherwise an activity would
    // outlive this run, or an update could be lost.
    if (continueAsNewSuggested && allHandlersFinished() && !run.storing && !isVerifying(run)) {
      await continueAsNew<(raw: unknown, carried: State) => Promise<unknown>>(raw, {
        ...run.state,
        // Of an attempt that has ended.
        placeWait: null,
      });
    }
    if (run.state.triggersEnabled) {
      // Also while paused: the target should look as it did before the cutover.
      await attempted(run, 'triggers', () => unlessEnding(run, () => disableTriggers(run)));
    } else if (run.unsure) {
      await withOperator(run, 'position', () => askPosition(run));
    } else if (run.at === 'paused') {
      const paused = `paused at ${run.state.confirmedLsn}`;
      await visibly(paused, () => run.at !== 'paused');
    } else if (run.state.consistent && !run.state.constraintsBuilt && !repairing) {
      repairing = !(await attempted(run, 'constraints', () => buildConstraints(run)));
    } else {
      verifyWhenDue(run);
      outdated = await withOperator(run, 'stream', async () => {
        // A resume may be followed by a pause or a cutover before this line runs.
        return run.at === 'streaming' && (await followedOrOutdated(run, repairing));
      });
      repairing &&= (run.state.stream?.lagBytes ?? 0) > CAUGHT_UP_BYTES;
    }
    throwIfStopped();
  }
}

/** Ends with the way back, also while a server that is gone is asked repeatedly. */
async function unlessEnding(run: Execution, step: () => Promise<void>): Promise<void> {
  run.tidying = new CancellationScope();
  try {
    await run.tidying.run(step);
  } catch (error) {
    if (run.at !== 'finalizing') throw error;
  } finally {
    run.tidying = undefined;
  }
}

/** Foreign keys, triggers, materialized views. Only on a consistent target: rows of two snapshots may contradict each other. */
export async function buildConstraints(
  run: Execution,
  retry: RetryPolicy = LONG.retry,
): Promise<void> {
  const { built, total } = await long.buildConstraints.executeWithOptions(
    { ...LONG, retry, activityId: 'constraints', summary: 'build foreign keys and triggers' },
    [run.step],
  );
  throwIfStopped();
  run.tell({ type: 'constraintsListed', built: built ?? null, total: total ?? null });
  await refreshViews(run, null, retry);
  run.tell({ type: 'constraintsBuilt' });
}

/** @param at the end mark, within a cutover; null the first time. */
export async function refreshViews(
  run: Execution,
  at: Lsn | null,
  retry: RetryPolicy = LONG.retry,
): Promise<void> {
  const { skipped = [] } = await long.refreshViews.executeWithOptions(
    { ...LONG, retry, activityId: 'refresh', summary: 'refresh materialized views' },
    [{ ...run.step, at }],
  );
  throwIfStopped();
  run.tell({ type: 'viewsRefreshed', skipped });
}

/** One lease. @returns whether it found tables that need a resync first. */
async function followedOrOutdated(run: Execution, repairing: boolean): Promise<boolean> {
  try {
    await streamOneLease(run, repairing);
    return false;
  } catch (error) {
    throwIfStopped();
    const reason = reasonOf(error);
    if (reason?.code === 'AlreadySwitched') {
      run.followSwitch();
      return false;
    }
    if (reason?.code !== 'Resync') throw error;
    log.info('tables are resynced', { reason: reason.message });
    run.tell({ type: 'resyncNeeded', reason });
    return true;
  }
}

/**
 * A resync: a copy of the tables that DDL changed outside the stream. All other tables stay. The stream is stopped
 * meanwhile, and the target is consistent again when the stream has applied everything up to the new snapshot. It runs
 * in phase snapshot, so that pause and cutover are refused as in any copy: tables are empty, and it may take hours.
 */
async function resync(run: Execution): Promise<void> {
  run.tell({ type: 'resyncBegun' });
  await copyRows(run);
  run.tell({ type: 'resynced' });
}

async function streamOneLease(run: Execution, repairing: boolean): Promise<void> {
  const lease: Lease = {
    ...{ scope: new CancellationScope(), stopped: new Deferred<void>() },
    ...{ positionWanted: false, fencing: undefined },
  };
  run.lease = lease;
  const aside = tendWayBack(run);
  try {
    await assessedBeside(run, () =>
      lease.scope.run(() => streamChanges(run, 'stream', { repairing })),
    );
    lease.stopped.give();
  } catch (error) {
    try {
      // A fence may settle only a stop that we requested and that left the migration alive.
      if (isStopped() || !lease.scope.consideredCancelled) throw error;
      if (lease.positionWanted) await fence(run, lease, error);
      run.lease = undefined;
      // A cutover that was cancelled in between needs no position of the lease, or does not wait for it.
      run.notePause();
      lease.stopped.give();
    } catch (unsettled) {
      const why = reasonOf(unsettled)?.message ?? 'unknown';
      const how = isStopped()
        ? 'the migration ended while the stream was being stopped'
        : `the stream did not stop at a known position: ${why}`;
      lease.stopped.refuse(ending('Ended', how));
      throw unsettled;
    }
  } finally {
    run.lease = undefined;
    if (aside) await aside.stop();
    // Cancelled between two attempts: no worker remains to report the end of the wait.
    run.tell({ type: 'placeWaited', wait: null });
  }
}

/**
 * The lease was cancelled and ended without an answer: between attempts, because its worker died, or because it lost its
 * connection. A target that is down is not waited for: the stream has stopped, and the next attempt fences before it begins.
 */
async function fence(run: Execution, lease: Lease, ended: unknown): Promise<void> {
  log.info('stream stopped without a checkpoint', { how: reasonOf(ended)?.message ?? 'unknown' });
  lease.fencing = new CancellationScope();
  await readPosition(run, lease.fencing, FIRST_TRIES);
}

/**
 * Keeps querying while the pause lasts: an attempt on an unreachable worker could still finish a batch, and the query
 * fences it off.
 */
async function askPosition(run: Execution): Promise<void> {
  if (run.at !== 'paused') return;
  run.asking = new CancellationScope();
  try {
    await readPosition(run, run.asking, FURTHER_TRIES);
  } finally {
    run.asking = undefined;
  }
}

/** @param scope cancelled when the answer is no longer needed: the floor is a position, too. */
async function readPosition(
  run: Execution,
  scope: CancellationScope,
  retry: RetryPolicy,
): Promise<void> {
  try {
    const at = await scope.run(() =>
      quick.fenceStream.executeWithOptions(
        { ...QUICK, retry, activityId: 'fence', summary: 'fence, read checkpoint' },
        [run.bare],
      ),
    );
    throwIfStopped();
    run.tell({ type: 'fenced', checkpoint: at });
  } catch (error) {
    if (isStopped()) throw error;
    if (scope.consideredCancelled) return;
    const reason = passing(error);
    if (!reason) throw error;
    run.tell({ type: 'positionUnknown', reason });
  }
}

/**
 * Disables the triggers that a cutover may have enabled before it was undone: applied changes would fire them. Does
 * nothing when there was no such cutover.
 */
export async function disableTriggers(
  run: Execution,
  retry: RetryPolicy = LONG.retry,
): Promise<void> {
  await long.disableTriggers.executeWithOptions(
    { ...LONG, retry, activityId: 'disable-triggers', summary: 'disable triggers again' },
    [run.bare],
  );
  throwIfStopped();
  run.tell({ type: 'triggersDisabled' });
}

/** Runs one `streamChanges` activity and notes its report. Without `until` it works for a lease. */
export async function streamChanges(
  run: Execution,
  activityId: 'stream' | 'drain',
  {
    until = null,
    repairing = false,
    retry = LONG.retry,
    options = LONG,
  }: {
    until?: Lsn | null;
    repairing?: boolean;
    retry?: RetryPolicy;
    /** Within the box of a cutover the timeouts are shorter. */
    options?: typeof LONG | typeof BOXED_DRAIN;
  },
): Promise<StreamReport> {
  const { confirmedLsn, consistent, tables } = run.state;
  // Rows of one snapshot are consistent, but the stream has to catch up with it: the lease that does reports which tables are ready.
  const caughtUp = consistent && tables?.counts['catching-up'] === undefined;
  const longest = repairing ? REPAIR_LEASE_MS : caughtUp ? Infinity : CATCH_UP_LEASE_MS;
  const leaseMs = Math.min(run.input.stream.leaseSeconds * MS_PER_SECOND, longest);
  const summary = until === null ? `stream from ${confirmedLsn}` : `drain to ${until}`;
  run.tell({ type: 'attemptBegun' });
  const report = await long.streamChanges.executeWithOptions(
    { ...options, retry, activityId, summary },
    [{ ...run.step, floor: confirmedLsn, until, leaseMs }],
  );
  // Here, so that the report of a drain that was cancelled counts, too.
  run.tell({ type: 'attemptReported', report });
  return report;
}
