/**
 * The heartbeat of the stream, tied to progress: it beats only when something moved since the last beat (an item arrived or left
 * the queue, a batch was written). A target that works for long on one statement has not moved, but its server says that it is at
 * work: that counts, asked over a second session.
 *
 * What arrives is no proof that it is applied: keepalives come every two seconds, also while an answer is awaited that was lost. So it
 * counts only for a while; then the stream is stuck, no beat follows, and the caller is told to give up what it waits for.
 */
import type { Heartbeat, Work } from '../../contract/work.ts';
import type { Onlooker } from './onlooker.ts';

const BEAT_MS = 700;
/**
 * A stream that has nothing to apply asks its source and beats less often: a worker may have hundreds of them. The server gets
 * a beat every 2 s at most anyway.
 */
const IDLE_BEAT_MS = 1_300;
const IDLE_MEASURE_MS = 4_000;
/** An apply that lasts longer is looked at from a second session. */
const SLOW_APPLY_MS = 1_500;
/** For so long a step may stay without an answer of its database; as long as the source may stay silent. */
export const STUCK_MS = 60_000;

export interface Vitals {
  /** Any number that changes when the stream moves at all. */
  readonly moved: number;
  /** Any number that changes when the work in hand gets on, whatever arrives beside it. */
  readonly done: number;
  /** Whether the target is at work on a batch. */
  readonly applying: boolean;
  /** Whether nothing that was received waits to be applied. */
  readonly idle: boolean;
}

/** They look at the sessions that the stream waits for. */
export interface Onlookers {
  readonly target: Pick<Onlooker, 'look'>;
  readonly source: Pick<Onlooker, 'look'>;
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
  /** When the work in hand last got on. */
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
    /** Refreshes the numbers from the source; its failure only makes them older. */
    readonly measure: () => Promise<void>;
    /** Called once, when nothing got on for too long. No beat follows. */
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
    // A process that was stopped for a while has not seen what came meanwhile.
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
    // Later on the source is at work for us only if it is asked what the stream waits for.
    if (!late && (!idle || now - this.#measuredAt >= IDLE_MEASURE_MS)) this.#ask(now);
    if (late || (applying && forMs > SLOW_APPLY_MS)) this.#look(late);
    // What moved is still news at the next tick.
    if (moved === this.#moved || (idle && now - this.#beatAt < IDLE_BEAT_MS)) return;
    this.#moved = moved;
    this.#beat();
  }

  /** One question at a time: a source that answers slowly must not pile them up. */
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

  /** @param both whether the source may be what is waited for; its session is used for other questions, too, so only work counts. */
  #look(both: boolean): void {
    if (this.#looking) return;
    this.#looking = true;
    const { target, source } = this.#onlookers;
    const looks = [target.look(), ...(both ? [source.look()] : [])];
    void Promise.all(looks)
      .then(([there, here]) => {
        if (this.#timer === undefined || (there === 'nothing' && here !== 'at work')) return;
        this.#doneAt = performance.now();
        this.#beat();
      })
      .finally(() => {
        this.#looking = false;
      });
  }
}
