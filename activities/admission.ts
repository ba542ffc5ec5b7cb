/**
 * How an activity gets a place in its worker. A wait is reported: at once in the heartbeat, after a moment in the log
 * and, by a signal, in the workflow's progress and Current Details. After a while the attempt fails with that reason,
 * so that Temporal can schedule it on another worker that may have room.
 */
import type { Context } from '@temporalio/activity';
import * as v from 'valibot';
import { MigrationError } from '../contract/failure.ts';
import { FAILURES } from '../contract/failure-catalogue.ts';
import type { Work, WorkPlace } from '../contract/work.ts';
import type { Place, Places, Wanted } from './places.ts';
import type { Room } from './worker-capacity.ts';
import { isNewestAttempt, saysWaiting, tell } from './place-signal.ts';

/** As often as other steps that send heartbeats by the clock. */
const BEAT_EVERY_MS = 1_000;
/** How often a full worker repeats its warning. */
const WARN_EVERY_MS = 60_000;

const STEP = 'waiting for a free worker place';
/** Each signal costs a few events of history; the missing kind of place may change during the wait. */
const MOST_SIGNALS = 10;

const warnedAt = new WeakMap<Places, number>();

/** What an activity occupies. */
export interface Admission {
  /** @param cancelled whether the workflow ended the activity. */
  readonly leave: (cancelled: boolean) => void;
  /** For steps that may be held back on purpose. */
  readonly place?: WorkPlace;
}

/**
 * Waits until the worker has a place for the stream of a migration. The place is kept for the next lease, and for a
 * moment also for the drain of a cutover.
 * @throws MigrationError `WorkerFull`, to be retried; the reason of the signal when it was aborted.
 */
export async function admitStream(context: Context, room: Room, work: Work): Promise<Admission> {
  const { times, migrations } = room;
  const giveBackMs = times.giveBackMs / 2;
  const way = new Way(context, work, { ...times, giveBackMs });
  const place = await way.take(migrations, true);
  await way.end();
  const { keepMs, handoverMs } = times;
  return { leave: (cancelled) => place.leave(cancelled ? handoverMs : keepMs) };
}

/**
 * The drain of a cutover does not wait: the application is stopped. It takes the place that its lease has left, so that
 * the stream finds it when the cutover is undone.
 */
export function admitDrain(context: Context, { migrations, times }: Room): Promise<Admission> {
  const owner = ownerOf(context);
  const place = migrations.tryTake({ owner });
  const leave = (cancelled: boolean): void => place?.leave(cancelled ? 0 : times.keepMs);
  return Promise.resolve({ leave });
}

/**
 * Waits until the worker has a place for the owner of a snapshot, and one for a copy under it, which is reserved while
 * the snapshot is open: without a copy it would only hold back vacuum on the source. @throws as {@link admitStream}.
 */
export async function admitSnapshotOwner(
  context: Context,
  room: Room,
  work: Work,
): Promise<Admission> {
  const { times, migrations, copies } = room;
  const way = new Way(context, work, times);
  const place = await way.take(migrations);
  try {
    // This wait ends, too: a copy that has its place needs no place of the first kind to finish.
    const release = copies.reserve(way.owner, await way.take(copies));
    await way.end();
    const leave = (): void => {
      release();
      // For the next pass, or for the stream.
      place.leave(times.keepMs);
    };
    return { leave };
  } catch (error) {
    place.leave();
    throw error;
  }
}

/**
 * Waits until the worker has a place for comparing rows, which counts as a copy, and reserves it while the anchor is held: without
 * one that compares, an anchor would only hold back vacuum. The anchor itself needs no place of the first kind; its migration
 * streams. @throws as {@link admitStream}.
 */
export async function admitAnchor(context: Context, room: Room, work: Work): Promise<Admission> {
  const { times, copies } = room;
  const way = new Way(context, work, times);
  const release = copies.reserve(way.owner, await way.take(copies));
  await way.end();
  return { leave: release };
}

/** Waits until the worker has a place for a copy. @throws as {@link admitStream}. */
export async function admitCopy(context: Context, room: Room, work: Work): Promise<Admission> {
  const { times, copies } = room;
  const way = new Way(context, work, times);
  let place = await way.take(copies);
  await way.end();
  const retake: WorkPlace['retake'] = async (how) => {
    const lent = place;
    place = how === 'at once' ? copies.take(way.owner) : await way.take(copies);
    lent.leave();
    if (how === 'in turn') await way.end();
  };
  return { leave: () => place.leave(), place: { lend: () => place.lend(), retake } };
}

/** What a heartbeat says of a wait, for the next attempt on any worker. */
const waitingBeat = v.object({
  waitingSince: v.string(),
  /** What is missing, as last signalled to the workflow; empty: nothing. */
  signalled: v.string(),
  tells: v.number(),
});

/** The waits of one activity for the places that it needs. */
class Way {
  readonly owner: string;
  readonly #context: Context;
  readonly #work: Work;
  readonly #times: Room['times'];
  readonly #wait: v.InferOutput<typeof waitingBeat>;

  constructor(context: Context, work: Work, times: Room['times']) {
    const before = v.safeParse(waitingBeat, context.info.heartbeatDetails);
    this.#wait = before.success
      ? before.output
      : { waitingSince: scheduledAt(context), signalled: '', tells: 0 };
    this.owner = ownerOf(context);
    this.#context = context;
    this.#work = work;
    this.#times = times;
  }

  async take(places: Places, begun = false): Promise<Place> {
    const wanted = { owner: this.owner, since: this.#wait.waitingSince, begun };
    const place = places.tryTake(wanted) ?? (await this.#waited(places, wanted));
    if (!this.#work.signal.aborted) return place;
    place.leave();
    throw this.#work.signal.reason;
  }

  /** It has all places that it needs. */
  async end(): Promise<void> {
    const signalled = this.#wait.signalled !== '';
    this.#wait.signalled = '';
    if (signalled) await tell(this.#context, null);
    // A worker that died may have signalled a wait that its last heartbeat did not contain.
    else if (this.#context.info.attempt > 1) void this.#forget();
  }

  async #waited(places: Places, wanted: Wanted): Promise<Place> {
    const { signal } = this.#work;
    const { tellMs, giveBackMs } = this.#times;
    this.#beat();
    const beating = setInterval(() => this.#beat(), BEAT_EVERY_MS);
    let telling: Promise<void> | undefined;
    const tellTimer = setTimeout(() => {
      telling = this.#tell(places);
    }, tellMs);
    const ended = new AbortController();
    const giving = setTimeout(() => ended.abort(), giveBackMs);
    try {
      const place = await places.wait(wanted, AbortSignal.any([signal, ended.signal]));
      // The signal of the end must not overtake that of the beginning.
      await telling;
      if (place) return place;
      // The workflow knows of a wait that it ended; when the worker shuts down, the next attempt continues the wait.
      signal.throwIfAborted();
      throw full(places);
    } finally {
      clearInterval(beating);
      clearTimeout(tellTimer);
      clearTimeout(giving);
    }
  }

  #beat(): void {
    this.#work.beat({ step: STEP, ...this.#wait });
  }

  async #tell(places: Places): Promise<void> {
    warn(places, this.#work);
    const wait = this.#wait;
    // A migration whose copy proceeds in another stream does not wait.
    if (wait.signalled === places.what || wait.tells >= MOST_SIGNALS || places.has(this.owner))
      return;
    wait.signalled = places.what;
    wait.tells += 1;
    this.#beat();
    // A frozen machine may wake up after another attempt took over, which would not revoke what is signalled here.
    if (!(await isNewestAttempt(this.#context))) return;
    await tell(this.#context, { since: wait.waitingSince, reason: reasonOf(places) });
  }

  async #forget(): Promise<void> {
    if (await saysWaiting(this.#context)) await tell(this.#context, null);
  }
}

function ownerOf({ info }: Context): string {
  return info.workflowExecution?.workflowId ?? '';
}

/** By the server's clock: the clock of this machine does not matter. */
function scheduledAt({ info }: Context): string {
  return new Date(info.currentAttemptScheduledTimestampMs).toISOString();
}

function reasonOf({ limit, what, option }: Places): string {
  return `a worker has no free place for ${what}: ${limit} of ${limit} in use (${option})`;
}

function full(places: Places): MigrationError {
  return new MigrationError('WorkerFull', `${reasonOf(places)}; ${FAILURES.WorkerFull.action}`);
}

function warn(places: Places, work: Work): void {
  const now = performance.now();
  if (now - (warnedAt.get(places) ?? -Infinity) < WARN_EVERY_MS) return;
  warnedAt.set(places, now);
  work.log.warn(`${reasonOf(places)}; ${FAILURES.WorkerFull.action}`, { waiting: places.waiting });
}
