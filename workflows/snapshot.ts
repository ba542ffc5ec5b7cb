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
import { CancellationScope, condition, log, sleep } from '@temporalio/workflow';
import { FAILURES } from '../contract/failure-catalogue.ts';
import type { CopyPlan, CopyResult, CopyRun, HoldReport } from '../contract/work.ts';
import { owner, long } from './activities.ts';
import type { Execution } from './execution.ts';
import { ending, raise, reasonOf, throwIfStopped } from './failure.ts';
import { isUnstored, storeLimits } from './limits.ts';
import { MAX_EMPTY_PASSES, EMPTY_PASS_PAUSE_MS, SNAPSHOT_OWNER, LONG } from './options.ts';
import type { Reason } from './state/reason.ts';

/** What follows a pass. */
type PassOutcome = 'complete' | 'again';

/** For the answer of a plan that has ended the snapshot owner. */
const ANSWER_WITHIN = '1 minute';

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

/** After the owner learned that nothing remains: a plan whose answer was lost would wait for a snapshot without end. */
function answered(copyEnds: Promise<'copy'>): Promise<'copy' | 'owner'> {
  const waiting = new CancellationScope();
  const late = waiting
    .run(() => sleep(ANSWER_WITHIN))
    .then(
      () => 'owner' as const,
      () => 'owner' as const,
    );
  return Promise.race([copyEnds, late]).finally(() => waiting.cancel());
}

/**
 * One snapshot owner and the copy alongside it. Both end with this function, whatever happens: cleanup must not start
 * during a copy, and an unused snapshot holds back vacuum on the source.
 */
async function onePass(run: Execution, budget: RetryBudget): Promise<PassOutcome> {
  const holding = new CancellationScope();
  const copying = new CancellationScope();
  const held = holding.run(() => hold(run));
  const copied = copying.run(() => planAndCopy(run, budget));
  const copyEnds = copied.then(
    () => 'copy' as const,
    () => 'copy' as const,
  );
  const first = await Promise.race([
    held.then(
      // The last plan ended the owner; the plan's own result may arrive later.
      (report) => (report?.nothingLeft === true ? answered(copyEnds) : ('owner' as const)),
      () => 'owner' as const,
    ),
    copyEnds,
  ]);
  copying.cancel();
  holding.cancel();
  const [ownerEnd] = await CancellationScope.nonCancellable(() =>
    Promise.allSettled([held, copied]),
  );
  run.tell({ type: 'placeWaited', wait: null });
  throwIfStopped();
  if (first === 'copy') return await copied;
  return afterOwner(ownerEnd, budget);
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

/**
 * Copies the plan's runs in parallel streams. Their number comes from the plan, a recorded result, so that a replay
 * does the same, and from the limits, whose changes take effect at once. Surplus streams finish their run, which the
 * activity itself holds back.
 */
async function copyRuns(run: Execution, plan: CopyPlan): Promise<Copied> {
  const queue = [...plan.runs];
  const met: Copied = {
    ...{ chunks: 0, skipped: 0 },
    ...{ lost: undefined, rewritten: undefined, failed: undefined },
  };
  const copyNext = async (next: CopyRun): Promise<void> => {
    try {
      noteCopied(run, met, await copyOne(run, plan.pass, next));
    } catch (error) {
      throwIfStopped();
      noteFailure(run, met, next, error);
    }
  };
  const atWork = new Set<Promise<void>>();
  let raised: { readonly error: unknown } | undefined;
  for (;;) {
    // A lost snapshot fails every further run, so none is started. After any other failure the remaining runs continue,
    // because finished tables stay finished and a person is needed anyway.
    while (atWork.size < streamsOf(run, plan) && !met.lost && !raised) {
      const next = queue.shift();
      if (!next) break;
      const ended: Promise<void> = copyNext(next)
        .catch((error: unknown) => {
          raised ??= { error };
        })
        .finally(() => atWork.delete(ended));
      atWork.add(ended);
    }
    if (atWork.size === 0) break;
    await Promise.race([...atWork, run.limitsChanged.promise]);
  }
  if (raised) raise(raised.error);
  return met;
}

/** Never more than the lock tables of the servers have room for. */
function streamsOf({ limits }: Execution, { parallelism, most = parallelism }: CopyPlan): number {
  if (limits.copyStreams === 0) return parallelism;
  return Math.min(limits.copyStreams, Math.max(parallelism, most));
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
