/**
 * The limits of the copy as one worker process keeps to them. All its lanes of a migration share one object: a session on the target
 * asks every second what the limits are, what the guard of the source says, and how many lanes the other processes have. A lane
 * that has to wait stops reading from the source in the middle of whatever it copies; nothing that was copied is lost, and the
 * servers' own flow control holds the rest back.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { guardText } from '../../contract/guard.ts';
import { UNLIMITED } from '../../contract/limits.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { exchangeShare, FORGOTTEN_SECONDS, type Share } from '../control/throttle.ts';
import { connectTarget } from '../identity/connect.ts';
import { Bucket } from './bucket.ts';

const ASK_EVERY_MS = 1_000;
/** A held lane looks so often whether it may go on. */
const LOOK_EVERY_MS = 200;
/** Unlike the lanes' own sessions it does nothing that takes long. */
const ANSWER_WITHIN_MS = 5_000;

/**
 * How long a lane is held in the middle of a chunk, which keeps locks on both sides: a DDL statement that waits for them has the
 * application behind it, and would keep a guard above its ceiling. Then the chunk goes on to its end, and the lane waits with nothing open.
 */
const MOST_HELD_IN_CHUNK_MS = 30_000;

/** A lane that wakes before the one whose turn it is looks again so much later. */
const TURN_MS = 5;
/** Held for longer than this a lane gives its place in the worker to others: migrations must not wait for each other. */
const PLACE_MS = 1_000;

/** One for the process: lanes of a run that has just ended are no others' lanes. */
const WORKER = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;

/** By migration and generation: what a process copies at the moment. */
const shared = new Map<string, CopyThrottle>();

/** Why a lane waits; null: it does not. */
type Reason = string | null;

class CopyThrottle {
  readonly #key: string;
  readonly #migration: Migration;
  readonly #pass: number;
  readonly #log: Work['log'];
  /** In the order in which they came: the first ones go on when not all may. */
  readonly #runs: ThrottledRun[] = [];
  /**
   * Those that wait for bytes, the one that has waited longest first. All wake at about the same moment: without an order the one whose timer
   * comes first would take every turn.
   */
  readonly #turns: ThrottledRun[] = [];
  readonly #bucket = new Bucket(performance.now());
  readonly #ended = new AbortController();
  #share: Share = { limits: UNLIMITED, guard: null, before: 0, after: 0 };
  #readAt = -Infinity;
  #asking: Promise<void> | null = null;
  #failing = false;

  constructor(key: string, migration: Migration, pass: number, log: Work['log']) {
    this.#key = key;
    this.#migration = migration;
    this.#pass = pass;
    this.#log = log;
  }

  /** @param target the lane's own session, which is free at its beginning: the limits hold from the first byte on. */
  async join(run: ThrottledRun, target: pg.ClientBase): Promise<void> {
    this.#runs.push(run);
    this.#take(await this.#exchange(target));
    this.#asking ??= this.#ask();
  }

  async leave(run: ThrottledRun): Promise<void> {
    const at = this.#runs.indexOf(run);
    if (at >= 0) this.#runs.splice(at, 1);
    this.giveUpTurn(run);
    this.#apply();
    if (this.#runs.length > 0) return;
    // Whoever joins from here on gets a new one.
    shared.delete(this.#key);
    this.#ended.abort();
    await this.#asking;
  }

  passed(bytes: number): void {
    this.#bucket.take(bytes, performance.now());
  }

  /** Why the lane may not copy at all at the moment; null: it may. */
  holds(run: ThrottledRun): Reason {
    const { guard, limits } = this.#share;
    // Not for as long as nothing can be read: what measured may be gone by now.
    const fresh = performance.now() - this.#readAt < FORGOTTEN_SECONDS * 1000;
    if (guard?.holding === true && limits.guard === 'on' && fresh) {
      return `the guard of the source: ${guardText(guard)}`;
    }
    return this.#runs.indexOf(run) >= this.#allowed
      ? `the limit of ${limits.copyStreams} copy streams`
      : null;
  }

  /** Whether it has to wait for its part of the bytes, and for how many milliseconds at least. If so it has its place in the order of turns. */
  slows(run: ThrottledRun): { readonly reason: Reason; readonly ms: number } {
    const ms = this.#bucket.wait(performance.now());
    const [first = run] = this.#turns;
    if (this.#bucket.rate === 0 || (ms === 0 && first === run)) {
      this.giveUpTurn(run);
      return { reason: null, ms: 0 };
    }
    if (!this.#turns.includes(run)) this.#turns.push(run);
    const reason = `the limit of ${this.#share.limits.copyBytesPerSecond} bytes/s`;
    return { reason, ms: Math.max(ms, TURN_MS) };
  }

  /** It has its turn, or does not wait for bytes any more: the others must not wait for it. */
  giveUpTurn(run: ThrottledRun): void {
    const at = this.#turns.indexOf(run);
    if (at >= 0) this.#turns.splice(at, 1);
  }

  /** How many of the lanes here may go on. */
  get #allowed(): number {
    const { copyStreams } = this.#share.limits;
    if (copyStreams === 0) return Infinity;
    return Math.max(0, copyStreams - this.#share.before);
  }

  #exchange(target: pg.ClientBase): Promise<Share> {
    const mine = {
      worker: WORKER,
      streams: this.#runs.length,
      pass: this.#pass,
    };
    return exchangeShare(target, this.#migration, mine);
  }

  #take(share: Share): void {
    this.#share = share;
    this.#readAt = performance.now();
    this.#apply();
  }

  /** Its part of the bytes: as many as of the lanes that may go on anywhere. */
  #apply(): void {
    const { limits, before, after } = this.#share;
    const mine = Math.min(this.#runs.length, this.#allowed);
    const most = limits.copyStreams === 0 ? Infinity : limits.copyStreams;
    const all = Math.min(most, before + this.#runs.length + after);
    const part = mine === 0 || all === 0 ? 1 : Math.min(1, mine / all);
    this.#bucket.limit(limits.copyBytesPerSecond * part, performance.now());
  }

  /** Until the last lane has left. What was last known counts while the target does not answer: the lanes need it, too. */
  async #ask(): Promise<void> {
    const { signal } = this.#ended;
    const pause = () => sleep(ASK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    while (!signal.aborted) {
      try {
        await using target = await connectTarget(this.#migration, 'limits', {
          aside: true,
          signal,
          statementTimeoutMs: ANSWER_WITHIN_MS,
        });
        // Nothing of it has to survive a crash, and it is written every second.
        await target.query(/* sql */ `set synchronous_commit = off`);
        while (!signal.aborted) {
          this.#take(await this.#exchange(target));
          this.#failing = false;
          await pause();
        }
      } catch (error) {
        if (!signal.aborted) this.#warn(error);
        await pause();
      }
    }
  }

  #warn(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    const { code, details } = classify(error, {}, 'Internal');
    this.#log.warn('the limits of the copy cannot be read; those that were last read count', {
      code,
      sqlstate: details.sqlstate,
    });
  }
}

/** One run of the copy. */
export class ThrottledRun implements AsyncDisposable {
  readonly #throttle: CopyThrottle;
  readonly #signal: AbortSignal;
  readonly #held: (reason: string) => void;
  readonly #place: Work['place'];
  #lent = false;
  #left = false;
  /** Milliseconds that it may still be held in the chunk at work. */
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
   * @param target its session, outside of a transaction.
   * @param held called several times a second while it waits: a run that is held on purpose must not look stuck.
   */
  static async join(
    migration: Migration,
    pass: number,
    target: pg.ClientBase,
    { work, held }: { readonly work: Work; readonly held: (reason: string) => void },
  ): Promise<ThrottledRun> {
    const key = JSON.stringify([migration.id, migration.target, pass]);
    const throttle = shared.get(key) ?? new CopyThrottle(key, migration, pass, work.log);
    shared.set(key, throttle);
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
   * Waits until the next chunk may begin, with nothing open.
   * @throws MigrationError `WorkerFull` when others have taken its place; `signal.reason` when aborted.
   */
  async ready(): Promise<void> {
    this.#allowance = Infinity;
    do {
      await this.#wait();
      this.#signal.throwIfAborted();
      await this.#retake('in turn');
      // It may be held by now. For its bytes it has waited: one more wait behind all others each time, and it would never begin.
    } while (this.#throttle.holds(this) !== null);
    this.#allowance = MOST_HELD_IN_CHUNK_MS;
  }

  /** So many bytes passed. @returns null: read on; else when to. Never rejects. */
  passed(bytes: number): Promise<void> | null {
    this.#throttle.passed(bytes);
    return this.#why().reason === null ? null : this.#heldInChunk();
  }

  async #heldInChunk(): Promise<void> {
    await this.#wait();
    // The chunk has locks on both sides: it does not wait.
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
    return { reason, ms: LOOK_EVERY_MS, held: true };
  }

  async #wait(): Promise<void> {
    try {
      await this.#waitInTurn();
    } finally {
      // When it was aborted in the middle.
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
      const pause = Math.min(ms, LOOK_EVERY_MS);
      await sleep(pause, undefined, { signal: this.#signal }).catch(() => undefined);
      if (held) this.#allowance -= performance.now() - began;
    }
  }
}
