/**
 * The checks between the drain and the seal, while no one writes: counts of all tables, rows that changed since the last
 * verification (or every row, on request), and writes that left no row in the stream. How long counting takes is measured before, in
 * this migration: an estimate that guesses would refuse cutovers that fit, or begin some that do not.
 */
import { patched } from '@temporalio/workflow';
import type { ChangedReport } from '../contract/cutover.ts';
import type { CutoverOrder } from '../contract/cutover-request.ts';
import { countingSeconds } from '../contract/downtime.ts';
import { listed } from '../contract/listed.ts';
import type { Lsn } from '../contract/lsn.ts';
import { long } from './activities.ts';
import { directionOf } from './direction.ts';
import { inBox } from './box-step.ts';
import type { Execution } from './execution.ts';
import { ending, throwIfStopped } from './failure.ts';
import { BOXED_DRAIN, LONG } from './options.ts';
import { retryUntilDone } from './retry-until-done.ts';
import type { Counts } from './summary.ts';
import { verificationOf } from './state/verification-fact.ts';
import { count, counted } from './wording.ts';

type Order = Pick<CutoverOrder, 'compare'> & { readonly seconds: number };

/** Histories of earlier code only count. */
const PATCH = 'changed-rows';
/** Of the box: it has other things to do, and what is not compared in that time is named and not a reason to undo. */
const SHARE = 0.25;
const SHOWN = 5;

/** @returns what was found equal. @throws what undoes the cutover. */
export async function check(run: Execution, since: Lsn, order: Order): Promise<Counts> {
  const counts = await compared(run, order);
  const late = await inBox(run, 'check for late writes', () =>
    long.laterChanges.executeWithOptions(
      { ...BOXED_DRAIN, activityId: 'later-changes', summary: 'check for late writes' },
      [{ ...run.step, since, writers: 'fenced' }],
    ),
  );
  const [first, ...others] = late;
  if (first === undefined) return counts;
  const { from, call } = directionOf(run);
  const more = others.length > 0 ? ` and ${others.length} more` : '';
  throw ending(
    'StillWriting',
    `${first}${more} changed on ${from} in spite of the fence, after the end mark ${since}: nothing was switched. Find what writes there, then call ${call} again`,
  );
}

async function compared(run: Execution, order: Order): Promise<Counts> {
  if (order.compare === 'off') return { tables: run.state.snapshot?.tables ?? 0, rows: null };
  const counts = await inBox(run, 'compare row counts', () =>
    long.compareCounts.executeWithOptions(
      { ...BOXED_DRAIN, activityId: 'counts', summary: 'compare row counts' },
      [run.step],
    ),
  );
  if (!comparesRows(run, order)) return counts;
  if (order.compare === 'full') {
    const { rows, notCompared } = await inBox(run, 'compare every row', () =>
      long.compareEveryRow.executeWithOptions(
        { ...BOXED_DRAIN, activityId: 'every-row', summary: 'compare every row' },
        [run.step],
      ),
    );
    return {
      ...counts,
      compared: `each of the ${count(rows)} rows is the same${except(notCompared)}`,
    };
  }
  const milliseconds = order.seconds * 1000 * SHARE;
  const report = await inBox(run, 'compare changed rows', () =>
    long.compareChanged.executeWithOptions(
      { ...BOXED_DRAIN, activityId: 'changed-rows', summary: 'compare changed rows' },
      [{ ...run.step, milliseconds }],
    ),
  );
  return { ...counts, compared: changedText(report) };
}

/** On the way back there is no verification to start from. */
function comparesRows(run: Execution, { compare }: Order): boolean {
  return (compare === 'changed' || compare === 'full') && !run.isBack && patched(PATCH);
}

function changedText({ since, rows, notCompared, more = 0 }: ChangedReport): string {
  if (since === null) return 'no verification to compare changed rows with';
  return `${counted(rows, 'row')} changed since the verification at ${since} and ${rows === 1 ? 'is' : 'are'} the same${except(notCompared, more)}`;
}

function except(names: readonly string[], more = 0): string {
  if (names.length === 0) return '';
  return ` [only counted: ${listed(names, SHOWN, '; ', names.length + more)}]`;
}

/**
 * Runs what the box will run, without judging it: rows in flight differ. Reads both databases while the application writes.
 * @returns seconds, guessed from the number of rows where they are not measured; 0 when nothing is compared.
 */
export async function measureChecks(run: Execution, order: Order): Promise<number> {
  if (order.compare === 'off') return 0;
  // Not measured on the way back, nor by earlier code: still refused before a write is stopped rather than undone in the box.
  if (run.isBack || !patched(PATCH)) return countingSeconds(run.state.snapshot?.estimatedRows ?? 0);
  const milliseconds = order.compare === 'changed' ? order.seconds * 1000 * SHARE : 0;
  const { seconds } = await retryUntilDone(run, 'measure the checks', (retry) =>
    long.measureChecks.executeWithOptions(
      { ...LONG, retry, activityId: 'measure', summary: 'measure the checks of the cutover' },
      [{ ...run.step, milliseconds }],
    ),
  );
  throwIfStopped();
  run.tell({ type: 'checksMeasured', seconds });
  // Every row takes what it took the last time.
  const { last } = verificationOf(run.state);
  return seconds + (order.compare === 'full' ? (last?.report.seconds ?? 0) : 0);
}
