/** How long the way back stays open. */
import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import { milliseconds } from '../contract/duration.ts';
import type { OldDatabase } from '../contract/finalize.ts';
import type { Execution } from './execution.ts';
import type { Aside } from './way-back-slot.ts';
import { moment } from './wording.ts';

/** A warning before the time is over: an hour, or a tenth of a shorter time. */
const WARN_MS = 3_600_000;
const WARN_SHARE = 0.1;

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
  const { source, target } = run.migration;
  const note = `the way back from "${target}" to "${source}" ends at ${moment(new Date(until).toISOString())}: until then switchback returns to "${source}". After it, "${target}" is the only live database, and "${source}" stays closed and is no longer kept up to date`;
  run.tell({ type: 'wayBackNoted', note });
  for (;;) {
    await pause(until);
    // A switch back that is under way decides; when it is undone, the time is over.
    if (run.at !== 'cuttingOver' && run.at !== 'fenced') break;
    // Each look costs five events, and a switch back may wait for a database for days.
    await sleep('1 minute');
  }
  if (run.at === 'streaming' || run.at === 'paused' || run.at === 'streamWaiting') endWayBack(run);
}

async function pause(at: number): Promise<void> {
  const ms = at - Date.now();
  if (ms > 0) await sleep(ms);
}

/**
 * Stops the stream of the way back at a commit; the loop ends then.
 * @param oldDatabase what the operator asked for; the time that is over asks for nothing, and leaves it sealed.
 */
export function endWayBack(run: Execution, oldDatabase?: OldDatabase): void {
  run.tell({ type: 'finalize', ...(oldDatabase === undefined ? {} : { oldDatabase }) });
  run.asking?.cancel();
  run.tidying?.cancel();
  run.lease?.scope.cancel();
}
