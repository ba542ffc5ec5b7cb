/**
 * The copy, in passes. Each pass has one exported snapshot: its owner keeps it open in the background, and the runs of the
 * plan are copied in parallel streams. When the snapshot is lost or a table was rewritten during the copy, the next pass
 * copies the remaining chunks under the next snapshot; finished chunks stay. There is no other mechanism.
 *
 *   snapshot owner          copy                               what follows
 *   runs, or ended by it    plan is empty                      complete
 *   runs                    all runs ended, some skipped       next pass, new owner: a table may have been rewritten, and
 *                           or TableRewritten                  this snapshot can no longer copy it
 *   lost, Temporal retries  runs end with SnapshotLost         plan again: it waits for the next snapshot
 *   failed: SnapshotLost    any                                next pass, new owner
 *   failed otherwise        any                                the operator
 *   runs                    a run failed otherwise             the others end, then the operator
 */
import { condition, log, sleep } from '@temporalio/workflow';
import { FAILURES } from '../contract/failure-catalogue.ts';
import type { CopyPlan, CopyResult, CopyRun, HoldReport } from '../contract/work.ts';
import { owner, long } from './activities.ts';
import type { Execution } from './execution.ts';
import { ending, raise, reasonOf, throwIfStopped } from './failure.ts';
import { heldWhile } from './held.ts';
import { isUnstored, storeLimits } from './limits.ts';
import { MAX_EMPTY_PASSES, EMPTY_PASS_PAUSE_MS, SNAPSHOT_OWNER, LONG } from './options.ts';
import { inParallel, streamsOf } from './parallel.ts';
import type { Reason } from './state/reason.ts';

/** What follows a pass. */
type PassOutcome = 'complete' | 'again';

/** The results of the plan's runs. */
interface Copied {
  /** Chunks that the runs of this plan finished, and chunks that they skipped because (or perhaps because) of a rewrite. */
  chunks: number;
  skipped: number;
  lost: Reason | undefined;
  rewritten: Reason | undefined;
  failed: Reason | undefined;
}

/** Copies all rows. Throws the first failure that needs the operator. */
export async function copyRows(run: Execution): Promise<void> {
  await limited(run);
  throwIfStopped();
  const budget = new RetryBudget();
  try {
    while ((await onePass(run, budget)) === 'again');
  } finally {
    run.tell({ type: 'copyStopped' });
  }
  run.tell({ type: 'rowsCopied' });
}

/** The copy must not begin without its limits. Throws why they cannot be written if that needs the operator. */
async function limited(run: Execution): Promise<void> {
  if (!isUnstored(run)) return;
  const reason = await storeLimits(run);
  await condition(() => run.storing === undefined || !isUnstored(run));
  if (isUnstored(run) && reason !== null) throw ending(reason.code, reason.message);
}

/** One snapshot owner and the copy alongside it. */
async function onePass(run: Execution, budget: RetryBudget): Promise<PassOutcome> {
  const { first, owner, worked } = await heldWhile(
    () => hold(run),
    () => planAndCopy(run, budget),
  );
  run.tell({ type: 'placeWaited', wait: null });
  throwIfStopped();
  if (first === 'owner') return afterOwner(owner, budget);
  return worked.status === 'fulfilled' ? worked.value : raise(worked.reason);
}

function hold(run: Execution): Promise<HoldReport | undefined> {
  const { guard } = run.input;
  if (guard) run.tell({ type: 'guardBegun' });
  return owner.holdSnapshot.executeWithOptions(
    { ...SNAPSHOT_OWNER, activityId: 'snapshot', summary: 'hold snapshot' },
    [guard ? { ...run.bare, guard } : run.bare],
  );
}

/** The snapshot owner ended while the copy needed it. */
async function afterOwner(
  end: PromiseSettledResult<unknown>,
  budget: RetryBudget,
): Promise<PassOutcome> {
  const reason: Reason =
    end.status === 'rejected'
      ? (reasonOf(end.reason) ?? raise(end.reason))
      : { code: 'SnapshotLost', message: 'the session that exports the snapshot ended' };
  if (FAILURES[reason.code].handling !== 'pass') throw ending(reason.code, reason.message);
  await budget.spend(0, reason);
  return 'again';
}

async function planAndCopy(run: Execution, budget: RetryBudget): Promise<PassOutcome> {
  for (;;) {
    const plan = await long.planCopy.executeWithOptions(
      { ...LONG, activityId: 'plan', summary: 'plan copy' },
      [run.step],
    );
    throwIfStopped();
    run.tell({ type: 'planned', plan });
    if (plan.runs.length === 0) return 'complete';
    const copied = await copyRuns(run, plan);
    if (copied.failed) throw ending(copied.failed.code, copied.failed.message);
    const reason = copied.rewritten ?? copied.lost ?? (copied.skipped > 0 ? SKIPPED : undefined);
    if (reason) {
      log.info('copy continues with the next pass', { reason: reason.message });
      await budget.spend(copied.chunks, reason);
    }
    // A plan waits for a snapshot that can copy the remaining chunks. Under this one it would wait forever.
    if (copied.rewritten ?? copied.skipped > 0) return 'again';
  }
}

const SKIPPED: Reason = {
  code: 'TableRewritten',
  message:
    'chunks were skipped: their table was rewritten, or an earlier attempt had finished them',
};

/** Copies the plan's runs in parallel streams. */
async function copyRuns(run: Execution, plan: CopyPlan): Promise<Copied> {
  const met: Copied = {
    ...{ chunks: 0, skipped: 0 },
    ...{ lost: undefined, rewritten: undefined, failed: undefined },
  };
  // A lost snapshot fails every further run, so none is started. After any other failure the remaining runs continue,
  // because finished tables stay finished and a person is needed anyway.
  const most = (): number => (met.lost ? 0 : streamsOf(run, plan));
  await inParallel(run, plan.runs, most, async (next) => {
    try {
      noteCopied(run, met, await copyOne(run, plan.pass, next));
    } catch (error) {
      throwIfStopped();
      noteFailure(run, met, next, error);
    }
  });
  return met;
}

function copyOne(run: Execution, pass: number, next: CopyRun): Promise<CopyResult> {
  return long.copyChunks.executeWithOptions(
    { ...LONG, activityId: next.id, summary: `copy ${next.label}` },
    [{ ...run.bare, pass, run: next, format: run.input.copy.format }],
  );
}

function noteCopied(run: Execution, met: Copied, result: CopyResult): void {
  met.chunks += result.chunks;
  met.skipped += result.rewritten ?? result.skipped;
  run.tell({ type: 'runCopied', result });
}

function noteFailure(run: Execution, met: Copied, failed: CopyRun, error: unknown): void {
  const reason = reasonOf(error) ?? raise(error);
  if (reason.code === 'SnapshotLost') met.lost ??= reason;
  else if (reason.code === 'TableRewritten') met.rewritten ??= reason;
  else {
    met.failed ??= reason;
    // The operator is asked when the other runs have ended, which may take hours: show it now.
    run.tell({ type: 'runFailed', run: failed, reason });
  }
}

/** Bounds what passes without any result cost: history, and a source on which snapshots are opened without end. */
class RetryBudget {
  #empty = 0;

  /** To be called when another pass is needed. @throws ApplicationFailure when too many in a row finished nothing. */
  async spend(chunks: number, reason: Reason): Promise<void> {
    this.#empty = chunks > 0 ? 0 : this.#empty + 1;
    if (this.#empty > MAX_EMPTY_PASSES) {
      throw ending(
        reason.code,
        `${MAX_EMPTY_PASSES} passes in a row finished no chunk; last: ${reason.message}`,
      );
    }
    if (this.#empty > 1) {
      await sleep(EMPTY_PASS_PAUSE_MS * (this.#empty - 1), { summary: 'before the next pass' });
    }
  }
}
