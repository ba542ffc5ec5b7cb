/**
 * The heartbeat of the stream, tied to progress: it beats only when something moved since the last beat (an item arrived or left
 * the queue, a batch was written). A long statement on the target moves nothing, but it counts when the server reports over a
 * second session that it is active.
 *
 * Arriving data does not prove that anything is applied: keepalives arrive every two seconds, even while the stream waits for a
 * lost answer. So they count only for some time. Then the stream is stuck, no beat follows, and the caller is notified to stop
 * waiting.
 */
import type { Heartbeat, Work } from '../../contract/work.ts';
import type { Look } from '../session/onlooker.ts';

const BEAT_MS = 700;
/**
 * A stream that has nothing to apply queries its source and beats less often: a worker may have hundreds of them. The server
 * gets a beat every 2 s at most anyway.
 */
const IDLE_BEAT_MS = 1_300;
const IDLE_MEASURE_MS = 4_000;
/** A longer apply is checked from a second session. */
const SLOW_APPLY_MS = 1_500;
/** How long a step may wait for an answer of its database; the same as the limit for a silent source. */
export const STUCK_MS = 60_000;

export interface Vitals {
  /** Any number that changes when the stream moves at all. */
  readonly moved: number;
  /** Any number that changes when the current work makes progress, regardless of what arrives in parallel. */
  readonly done: number;
  /** Whether the target is applying a batch. */
  readonly applying: boolean;
  /** Whether everything received is applied. */
  readonly idle: boolean;
}

interface Looks {
  readonly look: () => Promise<Pick<Look, 'seen'>>;
}

/** They check the sessions that the stream waits for. */
export interface Onlookers {
  readonly target: Looks;
  readonly source: Looks;
}

export class Pulse implements AsyncDisposable {
  readonly #work: Pick<Work, 'beat'>;
  readonly #onlookers: Onlookers;
  readonly #stuckMs: number;
  readonly #vitals: () => Vitals;
  readonly #details: () => Heartbeat;
  readonly #measure: () => Promise<void>;
  readonly #stuck: (forMs: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #moved = -1;
  #done = -1;
  /** When the current work last made progress. */
  #doneAt = performance.now();
  #tickedAt = performance.now();
  #beatAt = -Infinity;
  #measuredAt = -Infinity;
  #looking = false;
  #measuring: Promise<void> | null = null;

  constructor(parts: {
    readonly work: Pick<Work, 'beat'>;
    readonly onlookers: Onlookers;
    readonly stuckMs?: number | undefined;
    readonly vitals: () => Vitals;
    readonly details: () => Heartbeat;
    /** Refreshes the numbers from the source; after a failure they are only older. */
    readonly measure: () => Promise<void>;
    /** Called once, after too long without progress. No beat follows. */
    readonly stuck: (forMs: number) => void;
  }) {
    this.#work = parts.work;
    this.#onlookers = parts.onlookers;
    this.#stuckMs = parts.stuckMs ?? STUCK_MS;
    this.#vitals = parts.vitals;
    this.#details = parts.details;
    this.#measure = parts.measure;
    this.#stuck = parts.stuck;
  }

  start(): void {
    this.#beat();
    this.#timer = setInterval(() => this.#tick(), BEAT_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
    await this.#measuring;
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const { moved, done, applying, idle } = this.#vitals();
    const now = performance.now();
    // A process that was stopped for a while has not yet seen what arrived since then.
    if (done !== this.#done || now - this.#tickedAt > this.#stuckMs / 2) this.#doneAt = now;
    this.#done = done;
    this.#tickedAt = now;
    const forMs = now - this.#doneAt;
    if (forMs > this.#stuckMs) {
      this.#stop();
      this.#stuck(forMs);
      return;
    }
    const late = forMs > this.#stuckMs / 2;
    // Later, an active session on the source must mean that it works on what the stream waits for, not on our measurement.
    if (!late && (!idle || now - this.#measuredAt >= IDLE_MEASURE_MS)) this.#ask(now);
    if (late || (applying && forMs > SLOW_APPLY_MS)) this.#look(late);
    // A move that is skipped here counts at the next tick.
    if (moved === this.#moved || (idle && now - this.#beatAt < IDLE_BEAT_MS)) return;
    this.#moved = moved;
    this.#beat();
  }

  /** One query at a time: they must not pile up on a slow source. */
  #ask(now: number): void {
    if (this.#measuring) return;
    this.#measuredAt = now;
    this.#measuring = this.#measure()
      .catch(() => undefined)
      .finally(() => {
        this.#measuring = null;
      });
  }

  #beat(): void {
    this.#beatAt = performance.now();
    this.#work.beat(this.#details());
  }

  /**
   * @param both whether the stream may be waiting for the source; its session also runs other queries, so only `active` counts.
   */
  #look(both: boolean): void {
    if (this.#looking) return;
    this.#looking = true;
    const { target, source } = this.#onlookers;
    const looks = [target.look(), ...(both ? [source.look()] : [])];
    void Promise.all(looks)
      .then(([there, here]) => {
        const works = there?.seen === 'active' || there?.seen === 'progressed';
        if (this.#timer === undefined || !(works || here?.seen === 'active')) return;
        this.#doneAt = performance.now();
        this.#beat();
      })
      .finally(() => {
        this.#looking = false;
      });
  }
}
