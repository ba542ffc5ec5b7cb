/**
 * The cutover: end mark, drain, counts, sequences, triggers, and a check for late writes, which is repeated when the
 * slot is dropped. It never waits for the operator: the caller of `cutover` gets the reason as the answer, the slot is
 * kept, and streaming continues. The end of the migration is decided only when every step has succeeded; slot and
 * control schema are then removed by the common ending. Until then the operator can cancel the cutover, also while a
 * database is down and a step keeps retrying.
 */
import { CancellationScope, workflowInfo } from '@temporalio/workflow';
import type { FailureCode } from '../contract/failure-catalogue.ts';
import type { Lsn } from '../contract/lsn.ts';
import { definitionLines } from '../contract/definition.ts';
import {
  MOST_LATER_TABLES,
  type CutoverCall,
  type MigrationSummary,
  type TriggerReport,
} from '../contract/work.ts';
import { long, quick } from './activities.ts';
import { isFenced } from '../contract/cutover.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { dropSlot } from './cleanup.ts';
import { directionOf } from './direction.ts';
import { ending, reasonOf, throwIfStopped } from './failure.ts';
import { cutOverFenced } from './fenced-cutover.ts';
import { rehearse } from './rehearsal.ts';
import { requireReady } from './readiness.ts';
import { retryUntilDone } from './retry-until-done.ts';
import { LONG, QUICK } from './options.ts';
import { buildConstraints, disableTriggers, refreshViews, streamChanges } from './stream.ts';
import { summarize, type Counts } from './summary.ts';

/** A cutover that is not ready has changed nothing. */
const HOW: Partial<Record<FailureCode, string>> = { NotReady: 'refused' };
const SHOWN_TABLES = 20;

/** Runs the requested cutover. @returns undefined when it was undone and its caller has the reason. */
export async function cutOver(run: Execution): Promise<MigrationSummary | undefined> {
  const request = run.cutover;
  if (!request) return undefined;
  // Its own scope: cancelling the cutover stops its step and nothing else.
  const scope = new CancellationScope();
  request.scope = scope;
  try {
    if (request.rehearsal !== undefined) {
      const text = await scope.run(() => rehearse(run, request));
      throwIfStopped();
      run.endRehearsal(text);
      return undefined;
    }
    // Histories of earlier code have no fence in their input.
    if (isFenced(run.input)) return await scope.run(() => cutOverFenced(run, request));
    const { summary: done, endMark } = await scope.run(async () => {
      const outcome = await settle(run, request);
      throwIfStopped();
      return outcome;
    });
    await release(run, endMark);
    return done;
  } catch (error) {
    throwIfStopped();
    const reason = reasonOf(error);
    if (!reason) throw error;
    // Built earlier and lost in a failover: the stream, or the next cutover, builds it again.
    if (reason.code === 'TargetRewound' && !run.isBack) run.tell({ type: 'constraintsLost' });
    // However the step ended after the request to stop, it stopped.
    if (request.cancelled) run.cancelCutover(`in step "${stepOf(run)}"`);
    else run.undoCutover(reason, undoneText(run, request, reason.code));
    return undefined;
  }
}

/**
 * Drops the slot after another check for late writes. If the check finds one, or fails for any other reason of the
 * databases (a warning of the source, a source that was restored), the cutover is undone after all: what the slot still
 * holds may be a late write, and without the control schema it could no longer be applied. Only where the source cannot
 * be queried is the slot kept and the migration complete: {@link UNASKED}.
 */
async function release(run: Execution, endMark: Lsn): Promise<void> {
  run.tell({ type: 'releaseBegun' });
  const why = await CancellationScope.nonCancellable(() => dropSlot(run, endMark));
  // Failures recorded by earlier code carry no side.
  const { code, side = 'source' } = why ?? {};
  if (why && !(code && UNASKED.has(code) && side === 'source')) {
    throw ending(why.code, why.message);
  }
  run.slot = { kept: why ?? null };
}

/**
 * Reasons of the source that say nothing about writes, and with which a stream could not continue either: undoing the
 * cutover would leave a finished target behind a source that may be gone for good. Any other reason undoes the cutover,
 * also a target that is down: nothing is ready then, and the stream continues when it is back.
 */
const UNASKED: ReadonlySet<FailureCode> = new Set<FailureCode>([
  'Unreachable',
  'Denied',
  'SlotBusy',
  'UnknownService',
  'InvalidService',
]);

interface Settled {
  readonly summary: MigrationSummary;
  readonly endMark: Lsn;
}

async function settle(run: Execution, request: CutoverRequest): Promise<Settled> {
  await requireReady(run, request);
  if (run.state.triggersEnabled) {
    await retryUntilDone(run, 'disable triggers again', (retry) => disableTriggers(run, retry));
  }
  const endMark = await retryUntilDone(run, 'write end mark', (retry) =>
    quick.writeEndMark.executeWithOptions(
      { ...QUICK, retry, activityId: 'end-mark', summary: 'write end mark' },
      [{ ...run.bare, ...callOf(request) }],
    ),
  );
  await drain(run, endMark);
  // The stream has applied everything up to the end mark, so the target is consistent here at the latest.
  if (!run.state.constraintsBuilt) {
    await retryUntilDone(run, 'build foreign keys and triggers', (retry) =>
      buildConstraints(run, retry),
    );
  }
  const counts = await compare(run, request);
  // After the counts: refreshing views over rows that differ would be wasted.
  if (run.input.cutover.refresh) {
    await retryUntilDone(run, 'refresh materialized views', (retry) =>
      refreshViews(run, endMark, retry),
    );
  }
  // After the counts, which may take long: a nextval without a row leaves no trace in the stream.
  const sequences = await retryUntilDone(run, 'set sequences', (retry) =>
    // Not quick: a hundred thousand sequences take minutes, during which the activity sends heartbeats.
    long.setSequences.executeWithOptions(
      { ...LONG, retry, activityId: 'sequences', summary: 'set sequences' },
      [run.step],
    ),
  );
  const { definitions } = run.state;
  const before = [
    ...(sequences.differences ?? []),
    ...(definitions ? definitionLines(definitions.report) : []),
  ];
  noteDifferences(run, before);
  const triggers = await enableTriggers(run);
  const differences = [...new Set([...(triggers.differences ?? []), ...before])];
  noteDifferences(run, differences);
  // The last step: writers may have resumed while any earlier step waited for a database.
  await refuseLaterChanges(run, endMark);
  return { summary: summarize(run, endMark, { ...sequences, differences }, counts), endMark };
}

/** Lets the step recognize a call that Temporal runs again after a reset. */
function callOf({ updateId }: CutoverRequest): { readonly call?: CutoverCall } {
  return updateId === undefined ? {} : { call: { update: updateId, run: workflowInfo().runId } };
}

/** A drain returns early when its worker shuts down; the next worker continues it. */
async function drain(run: Execution, endMark: Lsn): Promise<void> {
  for (let reached = false; !reached;) {
    const report = await retryUntilDone(run, `drain to ${endMark}`, (retry) =>
      streamChanges(run, 'drain', { until: endMark, retry }),
    );
    ({ reached } = report);
  }
}

/** Noted before the step begins, because its answer may be lost after the work is done. */
async function enableTriggers(run: Execution): Promise<TriggerReport> {
  run.tell({ type: 'triggersEnabled' });
  return retryUntilDone(run, 'enable triggers', (retry) =>
    // Not quick: tens of thousands of triggers take long, during which the activity sends heartbeats.
    long.enableTriggers.executeWithOptions(
      { ...LONG, retry, activityId: 'triggers', summary: 'enable triggers' },
      [run.bare],
    ),
  );
}

async function compare(run: Execution, request: CutoverRequest): Promise<Counts> {
  if (request.compare === 'off') return { tables: run.state.snapshot?.tables ?? 0, rows: null };
  return retryUntilDone(run, 'compare row counts', (retry) =>
    long.compareCounts.executeWithOptions(
      { ...LONG, retry, activityId: 'counts', summary: 'compare row counts' },
      [run.step],
    ),
  );
}

/** Before the slot is dropped: everything that a writer still running wrote after the end mark would be lost. */
async function refuseLaterChanges(run: Execution, endMark: Lsn): Promise<void> {
  const tables = await retryUntilDone(run, 'check for late writes', (retry) =>
    long.laterChanges.executeWithOptions(
      { ...LONG, retry, activityId: 'later-changes', summary: 'check for late writes' },
      [{ ...run.step, since: endMark }],
    ),
  );
  if (tables.length === 0) return;
  const atLeast = tables.length < MOST_LATER_TABLES ? '' : 'at least ';
  const more =
    tables.length > SHOWN_TABLES ? ` and ${atLeast}${tables.length - SHOWN_TABLES} more` : '';
  throw ending(
    'StillWriting',
    `${tables.slice(0, SHOWN_TABLES).join(', ')}${more} changed after the end mark ${endMark}, or an open or prepared transaction is writing to it: stop the writers and end their transactions, then call cutover again`,
  );
}

/** Kept for readers of the notes after the cutover was undone. */
function noteDifferences(run: Execution, differences: readonly string[] = []): void {
  run.tell({ type: 'differencesFound', differences });
}

function undoneText(run: Execution, { rehearsal }: CutoverRequest, code: FailureCode): string {
  if (rehearsal !== undefined) return 'the cutover would not have succeeded, streaming continues';
  const { from, what } = directionOf(run);
  // Nothing has to be undone when no write was stopped; either way the same side goes on.
  const live = run.isBack
    ? `the application stays on ${from}, and the way back continues`
    : 'streaming continues';
  return `${what} ${HOW[code] ?? 'undone'}, ${live}`;
}

/** For the answer of a cutover that was cancelled in it. */
function stepOf({ state: { stage } }: Execution): string {
  return ('step' in stage && stage.step?.step) || 'unknown';
}
