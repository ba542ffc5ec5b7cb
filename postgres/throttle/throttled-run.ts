/**
 * One run of the copy under the limits. A stream that must wait stops reading from the source in the middle of its copy; nothing
 * copied is lost, and the servers' flow control holds the rest back.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { sharedThrottle, type CopyThrottle, type Reason } from './copy-throttle.ts';

/** How often a held stream checks whether it may continue. */
const CHECK_EVERY_MS = 200;

/**
 * How long a stream is held in the middle of a chunk, where it keeps locks on both sides: a DDL statement waiting for them blocks
 * the application and could keep the guard above its ceiling. Then the chunk runs to its end, and the stream waits with nothing
 * open.
 */
const MOST_HELD_IN_CHUNK_MS = 30_000;

/** A stream held for longer than this lends its worker place: migrations must not wait for each other. */
const PLACE_MS = 1_000;

export class ThrottledRun implements AsyncDisposable {
  readonly #throttle: CopyThrottle;
  readonly #signal: AbortSignal;
  readonly #held: (reason: string) => void;
  readonly #place: Work['place'];
  #lent = false;
  #left = false;
  /** Milliseconds that the run may still be held in the current chunk. */
  #allowance = MOST_HELD_IN_CHUNK_MS;

  private constructor(
    throttle: CopyThrottle,
    { signal, place }: Work,
    held: (reason: string) => void,
  ) {
    this.#throttle = throttle;
    this.#signal = signal;
    this.#place = place;
    this.#held = held;
  }

  /**
   * @param target the run's session, outside of a transaction.
   * @param held called several times a second while the run waits: a run that is held on purpose must not look stuck.
   */
  static async join(
    migration: Migration,
    pass: number,
    target: pg.ClientBase,
    { work, held }: { readonly work: Work; readonly held: (reason: string) => void },
  ): Promise<ThrottledRun> {
    const throttle = sharedThrottle(migration, pass, work.log);
    const run = new ThrottledRun(throttle, work, held);
    try {
      await throttle.join(run, target);
    } catch (error) {
      await run[Symbol.asyncDispose]();
      throw error;
    }
    return run;
  }

  /**
   * Waits, with nothing open, until the next chunk may begin.
   * @throws MigrationError `WorkerFull` when others have taken its slot; `signal.reason` when aborted.
   */
  async ready(): Promise<void> {
    this.#allowance = Infinity;
    do {
      await this.#wait();
      this.#signal.throwIfAborted();
      await this.#retake('in turn');
      // It may be held again by now. It does not wait for bytes again: behind all others each time, it would never begin.
    } while (this.#throttle.holds(this) !== null);
    this.#allowance = MOST_HELD_IN_CHUNK_MS;
  }

  /** Counts bytes that one statement has read: what begins next waits for them. */
  read(bytes: number): void {
    this.#throttle.passed(bytes);
  }

  /** Whether something could begin at once. */
  get isFree(): boolean {
    const { reason } = this.#why();
    this.#throttle.giveUpTurn(this);
    return reason === null;
  }

  /** Counts bytes that passed. @returns null to continue, or when to resume reading. Never rejects. */
  passed(bytes: number): Promise<void> | null {
    this.#throttle.passed(bytes);
    return this.#why().reason === null ? null : this.#heldInChunk();
  }

  async #heldInChunk(): Promise<void> {
    await this.#wait();
    // The chunk holds locks on both sides: do not queue for the slot.
    await this.#retake('at once');
  }

  async #retake(how: 'at once' | 'in turn'): Promise<void> {
    if (!this.#lent) return;
    await this.#place?.retake(how);
    this.#lent = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#left = true;
    await this.#throttle.leave(this);
  }

  #why(): { readonly reason: Reason; readonly ms: number; readonly held: boolean } {
    const reason = this.#allowance > 0 ? this.#throttle.holds(this) : null;
    if (reason === null) return { ...this.#throttle.slows(this), held: false };
    this.#throttle.giveUpTurn(this);
    return { reason, ms: CHECK_EVERY_MS, held: true };
  }

  async #wait(): Promise<void> {
    try {
      await this.#waitInTurn();
    } finally {
      // Also when aborted while waiting.
      this.#throttle.giveUpTurn(this);
    }
  }

  async #waitInTurn(): Promise<void> {
    const since = performance.now();
    while (!this.#left && !this.#signal.aborted) {
      const { reason, ms, held } = this.#why();
      if (reason === null) return;
      this.#held(reason);
      const began = performance.now();
      if (began - since > PLACE_MS && !this.#lent) {
        this.#lent = true;
        this.#place?.lend();
      }
      const pause = Math.min(ms, CHECK_EVERY_MS);
      await sleep(pause, undefined, { signal: this.#signal }).catch(() => undefined);
      if (held) this.#allowance -= performance.now() - began;
    }
  }
}
