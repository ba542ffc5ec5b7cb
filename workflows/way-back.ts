/**
 * The way back, as the workflow sees it. Before the switch its slot is created beside the stream, and advanced with every lease. From
 * the switch on the stages of the stream and of the cutover are about the other direction (`state.back`): the same loop streams, and
 * `switchback` is the same cutover, with the sides of every step swapped. It ends with `finalize`, with a switch back, or when its time
 * is over; the common ending then removes its slot and its state.
 */
import {
  CancellationScope,
  isCancellation,
  log,
  sleep,
  type RetryPolicy,
} from '@temporalio/workflow';
import { milliseconds } from '../contract/duration.ts';
import type { Lsn } from '../contract/lsn.ts';
import type { MigrationSummary } from '../contract/work.ts';
import { cleanup, long } from './activities.ts';
import type { Execution } from './execution.ts';
import { reasonOf, throwIfStopped } from './failure.ts';
import { FIRST_TRIES, LONG, QUICK, UNDO } from './options.ts';
import { retryUntilDone } from './retry-until-done.ts';
import { moment } from './wording.ts';

/** A warning before the time is over: an hour, or a tenth of a shorter time. */
const WARN_MS = 3_600_000;
const WARN_SHARE = 0.1;

/** What runs beside a lease, and is stopped with it. Without one nothing is awaited: histories of earlier code have none. */
export interface Aside {
  stop(): Promise<void>;
}

/** Creates the slot of the way back, or advances it. A failure is noted and tried again with the next lease. */
export function tendWayBack(run: Execution): Aside | null {
  if (run.input.switchback === undefined || run.isBack || !run.state.consistent) return null;
  const scope = new CancellationScope();
  const done = scope
    .run(() => tend(run))
    .catch((error: unknown) => {
      if (scope.consideredCancelled) return;
      const reason = reasonOf(error);
      if (!reason) throw error;
      log.warn('the way back is not ready', { ...reason });
      run.tell({ type: 'wayBackNoted', note: `the way back is not ready: ${reason.message}` });
    });
  return {
    stop: async () => {
      scope.cancel();
      await done;
    },
  };
}

async function tend(run: Execution): Promise<void> {
  if (run.state.wayBack?.opened !== true) await open(run);
  const { position = null } = run.state.wayBack ?? {};
  const next = await long.advanceReverseSlot.executeWithOptions(
    { ...LONG, retry: FIRST_TRIES, activityId: 'advance', summary: 'advance the slot back' },
    [{ migration: run.migration, to: position }],
  );
  run.tell({ type: 'wayBackAdvanced', position: next });
}

async function open(run: Execution, retry: RetryPolicy = FIRST_TRIES): Promise<void> {
  // Noted before, because the answer may be lost after the work is done: the ending has to look for it.
  run.tell({ type: 'wayBackNoted', note: 'the way back is being opened' });
  await long.openWayBack.executeWithOptions(
    { ...LONG, retry, activityId: 'way-back', summary: 'open the way back' },
    [{ migration: run.migration }],
  );
  throwIfStopped();
  run.tell({ type: 'wayBackOpened' });
}

/** Before a cutover stops a write: what is wanted afterwards has to be possible. */
export async function requireWayBack(run: Execution): Promise<void> {
  if (run.input.switchback === undefined || run.isBack) return;
  // A position from before this cutover must not be used after its release.
  run.tell({ type: 'wayBackAdvanced', position: null });
  if (run.state.wayBack?.opened !== true) {
    await retryUntilDone(run, 'open the way back', (retry) => open(run, retry));
  }
  await retryUntilDone(run, 'check the way back', (retry) =>
    long.planReverse.executeWithOptions(
      { ...LONG, retry, activityId: 'plan-back', summary: 'check the way back' },
      [{ migration: run.migration, input: run.input }],
    ),
  );
}

/**
 * After the switch. What keeps the way back from starting ends it: the application is on the target already.
 * @returns why there is none; null: it has begun, and the caller of `cutover` has the summary.
 */
export async function beginWayBack(
  run: Execution,
  released: Lsn | null,
  summary: MigrationSummary,
): Promise<string | null> {
  const { switchback } = run.input;
  if (switchback === undefined || run.isBack) return null;
  if (released === null) return 'the position of the release is not known';
  try {
    await long.startReverse.executeWithOptions(
      { ...LONG, activityId: 'start-back', summary: 'start the way back' },
      [{ migration: run.migration, released }],
    );
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    return reason.message;
  }
  const until = new Date(Date.now() + milliseconds(switchback)).toISOString();
  run.tell({ type: 'wayBackBegun', at: released, back: { until, summary } });
  run.cutover?.answer.give(
    `Cutover complete: ${summary.summary} The way back is open until ${moment(until)}: switchback returns, finalize ends it.`,
  );
  run.cutover = undefined;
  return null;
}

/** Warns before the time is over, then ends the way back. Made again in every run of the chain, from the time in the state. */
export function watchWayBack(run: Execution): Aside | null {
  const { back } = run.state;
  if (back === undefined) return null;
  const scope = new CancellationScope();
  const done = scope
    .run(() => watch(run, Date.parse(back.until)))
    .catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    });
  return {
    stop: async () => {
      scope.cancel();
      await done;
    },
  };
}

async function watch(run: Execution, until: number): Promise<void> {
  const whole = milliseconds(run.input.switchback ?? '1m');
  await pause(until - Math.min(WARN_MS, whole * WARN_SHARE));
  const note = `the way back ends at ${moment(new Date(until).toISOString())}: call switchback before, or let it end`;
  run.tell({ type: 'wayBackNoted', note });
  for (;;) {
    await pause(until);
    // A switch back that is under way decides; when it is undone, the time is over.
    if (run.at !== 'cuttingOver' && run.at !== 'fenced') break;
    await sleep('10 seconds');
  }
  if (run.at === 'streaming' || run.at === 'paused' || run.at === 'streamWaiting') endWayBack(run);
}

async function pause(at: number): Promise<void> {
  const ms = at - Date.now();
  if (ms > 0) await sleep(ms);
}

/** Stops the stream of the way back at a commit; the loop ends then. */
export function endWayBack(run: Execution): void {
  run.tell({ type: 'finalize' });
  run.asking?.cancel();
  run.lease?.scope.cancel();
}

/** After a switch back: the old database takes writes again. Never gives up, because neither database takes any until then. */
export async function openOld(run: Execution, cutover: string): Promise<void> {
  const { migration, input } = run;
  await long.openOld.executeWithOptions(
    { ...QUICK, activityId: 'open-old', summary: 'open the old database' },
    [{ migration, input, cutover }],
  );
  try {
    await cleanup.removeFence.executeWithOptions(
      { ...UNDO, activityId: 'remove-fence', summary: 'remove the open fence' },
      [{ migration, input }],
    );
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    log.warn('the open fence is still on the old database', { ...reason });
  }
}
