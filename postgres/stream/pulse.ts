/**
 * The heartbeat of the stream, tied to progress: it beats only when something moved since the last beat (an item left the
 * queue, the source was heard, a batch was written). A step that hangs must look like one. A target that works for long on
 * one statement has not moved, but its server says that it is at work: that counts, asked over a second session.
 */
import type pg from 'pg';
import type { Heartbeat, Work } from '../../contract/work.ts';
import type { Migration } from '../../contract/migration.ts';
import { connectTarget } from '../identity/connect.ts';

const BEAT_MS = 700;
/**
 * A stream that has nothing to apply asks its source and beats less often: a worker may have hundreds of them. The server gets
 * a beat every 2 s at most anyway.
 */
const IDLE_BEAT_MS = 1_300;
const IDLE_MEASURE_MS = 4_000;
/** An apply that lasts longer is looked at from a second session. */
const SLOW_APPLY_MS = 1_500;

export interface Vitals {
  /** Any number that changes when the stream gets on. */
  readonly progress: number;
  /** Whether the target is at work on a batch. */
  readonly applying: boolean;
  /** Whether nothing that was received waits to be applied. */
  readonly idle: boolean;
}

export class Pulse implements AsyncDisposable {
  readonly #work: Work;
  readonly #migration: Migration;
  readonly #applierPid: number | null;
  readonly #vitals: () => Vitals;
  readonly #details: () => Heartbeat;
  readonly #measure: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #last = -1;
  #movedAt = performance.now();
  #beatAt = -Infinity;
  #measuredAt = -Infinity;
  #looking: Promise<void> | null = null;
  #measuring: Promise<void> | null = null;
  #watcher: (pg.Client & AsyncDisposable) | null = null;

  constructor(parts: {
    readonly work: Work;
    readonly migration: Migration;
    readonly applierPid: number | null;
    readonly vitals: () => Vitals;
    readonly details: () => Heartbeat;
    /** Refreshes the numbers from the source; its failure only makes them older. */
    readonly measure: () => Promise<void>;
  }) {
    this.#work = parts.work;
    this.#migration = parts.migration;
    this.#applierPid = parts.applierPid;
    this.#vitals = parts.vitals;
    this.#details = parts.details;
    this.#measure = parts.measure;
  }

  start(): void {
    this.#beat();
    this.#timer = setInterval(() => this.#tick(), BEAT_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    await this.#measuring;
    await this.#watcher?.end().catch(() => undefined);
  }

  #tick(): void {
    const { progress, applying, idle } = this.#vitals();
    const now = performance.now();
    if (!idle || now - this.#measuredAt >= IDLE_MEASURE_MS) this.#ask(now);
    if (progress !== this.#last) {
      // What moved is still news at the next tick.
      if (idle && now - this.#beatAt < IDLE_BEAT_MS) return;
      this.#last = progress;
      this.#movedAt = performance.now();
      this.#beat();
    } else if (applying && performance.now() - this.#movedAt > SLOW_APPLY_MS) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = null;
      });
    }
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

  async #look(): Promise<void> {
    try {
      this.#watcher ??= await connectTarget(this.#migration, 'apply', { aside: true });
      const { rowCount } = await this.#watcher.query(
        /* sql */ `select from pg_stat_activity where pid = $1 and state = 'active'`,
        [this.#applierPid],
      );
      if (rowCount === 1) this.#beat();
    } catch {
      // No answer is no sign of life; the next look tries a new session.
      const broken = this.#watcher;
      this.#watcher = null;
      await broken?.end().catch(() => undefined);
    }
  }
}
