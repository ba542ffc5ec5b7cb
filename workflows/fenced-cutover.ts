/**
 * The cutover with a fence. Everything that takes long comes first, while the application writes: the fence is installed, foreign
 * keys are built, materialized views filled, and the stream catches up. Then the box (box.ts). After the outcome `switched`
 * nothing can be undone, and nothing is: what fails then is reported.
 */
import { CancellationScope, patched, workflowInfo } from '@temporalio/workflow';
import type { Prepared } from '../contract/cutover.ts';
import { definitionLines } from '../contract/definition.ts';
import { formatLsn, type Lsn } from '../contract/lsn.ts';
import { cleanupCommand } from '../contract/shell-command.ts';
import type { CutoverCall, MigrationSummary } from '../contract/work.ts';
import { cleanup, long, quick } from './activities.ts';
import { measureChecks } from './box-checks.ts';
import { runBox, type Switched } from './box.ts';
import { dropSlot } from './cleanup.ts';
import { capital, directionOf } from './direction.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { keptHint } from './kept.ts';
import { refuseWhatCannotFit } from './expected-downtime.ts';
import { reasonOf } from './failure.ts';
import { CLEANUP, LONG, QUICK, UNDO } from './options.ts';
import { requireReady } from './readiness.ts';
import { retryUntilDone } from './retry-until-done.ts';
import type { Reason } from './state/reason.ts';
import { NOT_AGAIN, runAfterRelease } from './after-release.ts';
import { buildConstraints, disableTriggers, refreshViews, streamChanges } from './stream.ts';
import { comparedText, summarize } from './summary.ts';
import { beginWayBack, openOld } from './way-back.ts';
import { requireWayBack } from './way-back-slot.ts';
import { duration } from './wording.ts';

/** A drain that took less has caught up: the two within the box take about as long. */
const CAUGHT_UP_MS = 2_000;
/** Most drains before the box; an application that writes faster than the stream applies does not fit in any case. */
const MOST_DRAINS = 5;

/**
 * @returns the summary; undefined when the way back has begun. A cutover that is undone throws.
 * @throws the reason why it was not begun, or undone.
 */
export async function cutOverFenced(
  run: Execution,
  request: CutoverRequest,
): Promise<MigrationSummary | undefined> {
  const done = await decided(run, request);
  run.tell({ type: 'switched', downtimeMs: done.report.downtimeMs });
  // From here on an abort or a cancellation comes too late: the migration is complete.
  return CancellationScope.nonCancellable(() => complete(run, done));
}

async function decided(run: Execution, request: CutoverRequest): Promise<Switched> {
  // First: a run before a reset may have switched. Then the target is live, and nothing else may touch it.
  const prepared = await prepare(run, request);
  if (prepared.switched !== null) return follow(prepared, prepared.switched);
  await requireReady(run, request);
  if (run.state.triggersEnabled) {
    await retryUntilDone(run, 'disable triggers again', (retry) => disableTriggers(run, retry));
  }
  await requireWayBack(run, request);
  const drainMs = await catchUp(run);
  const { compare, maxDowntimeSeconds: seconds } = request;
  const checking = await measureChecks(run, { compare, seconds });
  refuseWhatCannotFit(run, request, prepared, { checking, draining: drainMs / 1000 });
  return runBox(run, { seconds, compare, changes: prepared.changes ?? [] });
}

/** Installs the fence and looks for writers, or finds that a run before a reset has switched. Stops no write. */
export async function prepare(run: Execution, request: CutoverRequest): Promise<Prepared> {
  const call = callOf(request);
  const prepared = await retryUntilDone(run, 'prepare the cutover', (retry) =>
    long.prepareCutover.executeWithOptions(
      { ...LONG, retry, activityId: 'prepare', summary: 'install the fence, look for writers' },
      [{ ...run.step, ...call }],
    ),
  );
  const { settings } = prepared;
  // Before anything is changed: the target, which has them too, may be gone when they are needed.
  if (settings !== undefined) run.tell({ type: 'settingsNoted', settings });
  return prepared;
}

/** A run before a reset has switched: nothing is left to decide. */
function follow({ releaseLsn, downtimeMs }: Prepared, cutover: string): Switched {
  const report = { decided: 'switched', releaseLsn, downtimeMs } as const;
  const unknown = { sequences: null, differences: [] };
  return { cutover, mark: null, counts: null, report: { ...report, ...unknown } };
}

/** @returns how long the last drain took, milliseconds. */
export async function catchUp(run: Execution): Promise<number> {
  for (let drains = 1; ; drains += 1) {
    const mark = await retryUntilDone(run, 'write end mark', (retry) =>
      quick.writeEndMark.executeWithOptions(
        { ...QUICK, retry, activityId: 'end-mark', summary: 'write end mark' },
        [run.bare],
      ),
    );
    const began = Date.now();
    await drain(run, mark);
    const took = Date.now() - began;
    const wanted = !run.state.constraintsBuilt || (drains === 1 && refreshes(run));
    if (wanted) await buildBefore(run, mark);
    if (!wanted && (took < CAUGHT_UP_MS || drains >= MOST_DRAINS)) return took;
  }
}

/** On the way back the views are on the live database, and no one has asked for theirs. */
function refreshes({ input, isBack }: Execution): boolean {
  return input.cutover.refresh && !isBack;
}

/** What the box must not wait for. The views are refreshed again after the release. */
async function buildBefore(run: Execution, mark: Lsn): Promise<void> {
  if (!run.state.constraintsBuilt) {
    await retryUntilDone(run, 'build foreign keys and triggers', (retry) =>
      buildConstraints(run, retry),
    );
  }
  if (!refreshes(run)) return;
  await retryUntilDone(run, 'refresh materialized views', (retry) =>
    refreshViews(run, mark, retry),
  );
}

export async function drain(run: Execution, until: Lsn): Promise<void> {
  for (let reached = false; !reached;) {
    ({ reached } = await retryUntilDone(run, `drain to ${until}`, (retry) =>
      streamChanges(run, 'drain', { until, retry }),
    ));
  }
}

/** After the point of no return. */
async function complete(run: Execution, done: Switched): Promise<MigrationSummary | undefined> {
  if (run.isBack) return completeBack(run, done);
  const { input, state } = run;
  const { cutover, mark, report } = done;
  const differences = [
    ...report.differences,
    ...(state.definitions ? definitionLines(state.definitions.report) : []),
  ];
  if (input.cutover.refresh && mark !== null) {
    const why = await attempt(() => refreshAfter(run, mark));
    if (why) differences.push(`materialized views are as of before the switch (${why.message})`);
  }
  const kept = await lookAt(run, cutover, mark, differences);
  run.slot = { kept: kept ?? (await dropSlot(run)) };
  // Last: a program of the operator may take minutes, and the source is looked at while its fence is fresh.
  const after = mark === null ? NOT_AGAIN : await runAfterRelease(run);
  run.tell({ type: 'differencesFound', differences });
  const sequences = report.sequences ?? { sequences: 0, missing: [] };
  const counts = done.counts ?? { tables: state.snapshot?.tables ?? 0, rows: null };
  const seconds = report.downtimeMs === null ? null : report.downtimeMs / 1000;
  const at = mark ?? state.confirmedLsn ?? formatLsn(0n);
  const open = openingOf(run);
  const words = summarize(run, at, { ...sequences, differences }, counts, { seconds, open });
  const summary = { ...words, summary: words.summary + keptHint(run) + after };
  if (input.switchback === undefined) return summary;
  const lost = isParted(kept)
    ? 'rows were written on the source after the switch, or it has lost WAL that the target has'
    : (run.withoutWayBack ?? (await beginWayBack(run, report.releaseLsn, summary)));
  if (lost === null) return undefined;
  return { ...summary, summary: `${summary.summary} There is no way back: ${lost}.` };
}

/** The old database is no longer what the new one began with. */
function isParted(kept: Reason | null): boolean {
  return kept !== null && ['StillWriting', 'SourceRewound'].includes(kept.code);
}

/** How the operator lets the old database take writes again; only a trigger stays there when the migration ends. */
function openingOf({ input, migration }: Execution): string | null {
  return input.fence === 'trigger' ? cleanupCommand(migration, migration.workflowId) : null;
}

/** The old database first: until it is open, neither takes writes. */
async function completeBack(run: Execution, done: Switched): Promise<MigrationSummary> {
  const { migration, input, state } = run;
  const { cutover, mark, report, counts } = done;
  await openOld(run, cutover);
  run.backEnd.returned = true;
  const { definitions } = run.backEnd;
  const differences = [...report.differences, ...(definitions ? definitionLines(definitions) : [])];
  // Rows that only its slot has must not go with the slot.
  run.backEnd.kept = await lookAt(run, cutover, mark, differences);
  run.tell({ type: 'differencesFound', differences });
  const { source, target } = migration;
  const closed =
    input.fence === 'trigger'
      ? `stays sealed and refuses writes with 25006; to open it: ${cleanupCommand(migration, migration.workflowId)}.`
      : 'stays closed for writes as its fence left it.';
  const found = differences.map((one) => ` ${capital(one)}.`).join('');
  const time = report.downtimeMs === null ? '' : ` ${duration(report.downtimeMs / 1000)}`;
  // Null: a run before a reset has compared.
  const equal = counts === null ? '' : ` (${comparedText(counts)})`;
  const text = `switched back to "${source}": writes were stopped for${time || ' an unknown time'}. Everything committed on "${target}" is there${equal}; materialized views are as of the cutover, refresh them.${found} Point the application to "${source}". "${target}" ${closed}${keptHint(run)}`;
  const { summary } = state.back ?? {};
  if (!summary) throw new TypeError('a switch back without a way back');
  return { ...summary, summary: text, ...(differences.length === 0 ? {} : { differences }) };
}

/** Until a source's sealing is seen again, its slot stays: rows that only the slot has must not go with it. */
async function lookAt(
  run: Execution,
  cutover: string,
  since: Lsn | null,
  differences: string[],
): Promise<Reason | null> {
  const { from } = directionOf(run);
  try {
    const { sealedAgain, late, unchecked, changes } = await cleanup.lookAtSource.executeWithOptions(
      { ...CLEANUP, activityId: 'look', summary: 'look at the sealed source' },
      [{ ...run.step, cutover, since }],
    );
    if (changes) run.tell({ type: 'sourceLooked', stays: changes });
    if (sealedAgain) {
      differences.push(
        `${from} had lost its seal, for example in a failover, and was sealed again: compare both sides for rows that were written meanwhile`,
      );
    }
    const [first, ...others] = late;
    if (first === undefined) return unchecked ?? null;
    const more = others.length > 0 ? ` and ${others.length} more` : '';
    return {
      code: 'StillWriting',
      message: `${first}${more} changed on ${from} after the switch: those rows are on ${from} only`,
    };
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    differences.push(
      `${from} could not be checked after the switch (${reason.message})${settingsOf(run)}`,
    );
    return patched(KEEPS_SLOT) ? reason : null;
  }
}

/** Histories of earlier code dropped the slot of a source that they could not look at. */
const KEEPS_SLOT = 'look-keeps-slot';

/** What the fence has replaced and not given back. */
function settingsOf({ state: { fenceSettings = [] } }: Execution): string {
  if (fenceSettings.length === 0) return '';
  const values = fenceSettings.map(({ what, previous }) => `${what} ${previous ?? 'not set'}`);
  return `, so its database keeps the settings of the fence; they were: ${values.join(', ')}`;
}

async function refreshAfter(run: Execution, at: Lsn): Promise<void> {
  const { skipped = [] } = await cleanup.refreshViews.executeWithOptions(
    { ...UNDO, activityId: 'refresh', summary: 'refresh materialized views' },
    [{ ...run.step, at }],
  );
  run.tell({ type: 'viewsRefreshed', skipped });
}

async function attempt(work: () => Promise<void>): Promise<Reason | null> {
  try {
    await work();
    return null;
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    return reason;
  }
}

function callOf({ updateId }: CutoverRequest): { readonly call?: CutoverCall } {
  return updateId === undefined ? {} : { call: { update: updateId, run: workflowInfo().runId } };
}
