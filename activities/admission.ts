/**
 * The way of an activity to its place in the worker. Whoever waits says so: at once in its heartbeat, after a moment in the log and,
 * by a signal, in the workflow's progress and Current Details. A wait is given back to Temporal after a while, as a failed
 * attempt that names the reason, because another worker may have room.
 */
import type { Context } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import * as v from 'valibot';
import { FAILURES } from '../contract/failure.ts';
import type { SlotWait } from '../contract/progress.ts';
import { SLOT_SIGNAL, type Work } from '../contract/work.ts';
import type { Places, Room } from './room.ts';

/** As often as other steps beat by the clock. */
const BEAT_EVERY_MS = 1_000;
/** The next attempt may be this worker's: it comes back to its position in the queue. */
const AGAIN_AFTER = '1 second';
/** A full worker repeats itself in its log only so often. */
const WARN_EVERY_MS = 60_000;

const warnedAt = new WeakMap<Places, number>();

/**
 * Waits until the worker has a place.
 * @returns what gives it back.
 * @throws ApplicationFailure `WorkerFull`, to be retried; the reason of the signal when it was aborted.
 */
export async function admitted(
  context: Context,
  room: Room,
  kind: 'migrations' | 'copies',
  work: Work,
): Promise<() => void> {
  const places = room[kind];
  const { workflowId = '' } = context.info.workflowExecution ?? {};
  // What the attempt before this one said last, on whatever worker.
  const before = v.safeParse(waitingBeat, context.info.heartbeatDetails);
  const wait: Wait = before.success
    ? before.output
    : { waitingSince: scheduledAt(context), told: false };
  const leave =
    places.tryTake(workflowId) ?? (await waited(context, room.patience, places, wait, work));
  if (wait.told) await tell(context, null);
  if (!work.signal.aborted) return leave;
  leave();
  throw work.signal.reason;
}

async function waited(
  context: Context,
  { tellMs, giveBackMs }: Room['patience'],
  places: Places,
  wait: Wait,
  work: Work,
): Promise<() => void> {
  const { workflowId = '' } = context.info.workflowExecution ?? {};
  const beat = (): void => work.beat({ step: STEP, ...wait });
  beat();
  const beating = setInterval(beat, BEAT_EVERY_MS);
  let told: Promise<void> | undefined;
  const telling = setTimeout(() => {
    warn(places, work);
    // A migration that gets on in another lane of its copy does not wait.
    if (wait.told || places.has(workflowId)) return;
    wait.told = true;
    beat();
    told = tell(context, { since: wait.waitingSince, reason: reasonOf(places) });
  }, tellMs);
  const ended = new AbortController();
  const giving = setTimeout(() => ended.abort(), giveBackMs);
  try {
    const signal = AbortSignal.any([work.signal, ended.signal]);
    const leave = await places.wait(workflowId, wait.waitingSince, signal);
    // The end of the wait must not overtake its beginning.
    await told;
    if (leave) return leave;
    if (ended.signal.aborted) throw full(places);
    // A workflow that ends the wait knows it; when the worker shuts down, the next attempt waits on.
    throw work.signal.reason;
  } finally {
    clearInterval(beating);
    clearTimeout(telling);
    clearTimeout(giving);
  }
}

/** By the server's clock: this machine's plays no part. */
function scheduledAt({ info }: Context): string {
  return new Date(info.currentAttemptScheduledTimestampMs).toISOString();
}

const STEP = 'waiting for a free worker slot';
/** What a heartbeat says of a wait. */
const waitingBeat = v.object({ waitingSince: v.string(), told: v.boolean() });
type Wait = v.InferOutput<typeof waitingBeat>;

function reasonOf({ limit, what, option }: Places): string {
  return `a worker has no free slot for ${what}: ${limit} of ${limit} in use (${option})`;
}

function full(places: Places): ApplicationFailure {
  const failure = ApplicationFailure.create({
    type: 'WorkerFull',
    message: `${reasonOf(places)}; ${FAILURES.WorkerFull.action}`,
    nonRetryable: false,
    nextRetryDelay: AGAIN_AFTER,
    // Not worth a warning for each attempt: the worker says it once for all of them.
    category: ApplicationFailureCategory.BENIGN,
  });
  failure.stack = '';
  return failure;
}

function warn(places: Places, work: Work): void {
  const now = performance.now();
  if (now - (warnedAt.get(places) ?? -Infinity) < WARN_EVERY_MS) return;
  warnedAt.set(places, now);
  work.log.warn(`${reasonOf(places)}; ${FAILURES.WorkerFull.action}`, { waiting: places.waiting });
}

/** Best effort: the heartbeat says it as well. */
async function tell(context: Context, wait: SlotWait | null): Promise<void> {
  try {
    const { workflowId = '' } = context.info.workflowExecution ?? {};
    await context.client.workflow.getHandle(workflowId).signal(SLOT_SIGNAL, wait);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    context.log.debug('the workflow was not told of a wait for a worker slot', { reason });
  }
}
