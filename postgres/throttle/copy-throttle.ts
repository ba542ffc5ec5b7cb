/**
 * The limits of the copy in one worker process. All its copy streams of a migration share one object. Every second a session on
 * the target reads the limits, the state of the source's guard, and the number of streams in other processes.
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
import { exchangeShare, FORGOTTEN_SECONDS, type Share } from '../store/throttle.ts';
import { connectTarget } from '../session/open.ts';
import { Bucket } from './bucket.ts';

const READ_EVERY_MS = 1_000;
/** Unlike the streams' sessions, this one runs nothing that takes long. */
const ANSWER_WITHIN_MS = 5_000;
/** How long a stream that wakes out of turn waits before it checks again. */
const TURN_MS = 5;

/** Random per process, so that streams of a run that has just ended are not counted as another's. */
const WORKER = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;

const shared = new Map<string, CopyThrottle>();

/** Why a stream waits; null: it does not. */
export type Reason = string | null;

type Stream = object;

/** The throttle that all streams of this pass share in this process. */
export function sharedThrottle(migration: Migration, pass: number, log: Work['log']): CopyThrottle {
  const key = JSON.stringify([migration.id, migration.target, pass]);
  const throttle = shared.get(key) ?? new CopyThrottle(key, migration, pass, log);
  shared.set(key, throttle);
  return throttle;
}

export class CopyThrottle {
  readonly #key: string;
  readonly #migration: Migration;
  readonly #pass: number;
  readonly #log: Work['log'];
  /** In order of arrival: when not all may continue, the first do. */
  readonly #runs: Stream[] = [];
  /**
   * Streams that wait for bytes, longest wait first. All wake at about the same time: without an order, the one whose timer fires
   * first would take every turn.
   */
  readonly #turns: Stream[] = [];
  readonly #bucket = new Bucket(performance.now());
  readonly #ended = new AbortController();
  #share: Share = { limits: UNLIMITED, guard: null, before: 0, after: 0 };
  #readAt = -Infinity;
  #reading: Promise<void> | null = null;
  #failing = false;

  constructor(key: string, migration: Migration, pass: number, log: Work['log']) {
    this.#key = key;
    this.#migration = migration;
    this.#pass = pass;
    this.#log = log;
  }

  /** @param target the stream's session, idle at its start: the limits apply from the first byte. */
  async join(run: Stream, target: pg.ClientBase): Promise<void> {
    this.#runs.push(run);
    this.#take(await this.#exchange(target));
    this.#reading ??= this.#readLimits();
  }

  async leave(run: Stream): Promise<void> {
    const at = this.#runs.indexOf(run);
    if (at >= 0) this.#runs.splice(at, 1);
    this.giveUpTurn(run);
    this.#apply();
    if (this.#runs.length > 0) return;
    // Streams that join from here on get a new object.
    shared.delete(this.#key);
    this.#ended.abort();
    await this.#reading;
  }

  passed(bytes: number): void {
    this.#bucket.take(bytes, performance.now());
  }

  /** Why the stream may not copy at all now; null: it may. */
  holds(run: Stream): Reason {
    const { guard, limits } = this.#share;
    // Ignore a guard that can no longer be read: it may have ended.
    const fresh = performance.now() - this.#readAt < FORGOTTEN_SECONDS * 1000;
    if (guard?.holding === true && limits.guard === 'on' && fresh) {
      return `the guard of the source: ${guardText(guard)}`;
    }
    return this.#runs.indexOf(run) >= this.#allowed
      ? `the limit of ${limits.copyStreams} copy streams`
      : null;
  }

  /**
   * Whether the stream must wait for its share of the bytes, and for at least how many milliseconds. If so, it is queued for its
   * turn.
   */
  slows(run: Stream): { readonly reason: Reason; readonly ms: number } {
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

  /** The stream has had its turn or no longer waits for bytes: the others must not wait for it. */
  giveUpTurn(run: Stream): void {
    const at = this.#turns.indexOf(run);
    if (at >= 0) this.#turns.splice(at, 1);
  }

  /** How many streams of this process may continue. */
  get #allowed(): number {
    const { copyStreams } = this.#share.limits;
    if (copyStreams === 0) return Infinity;
    return Math.max(0, copyStreams - this.#share.before);
  }

  #exchange(target: pg.ClientBase): Promise<Share> {
    const own = { worker: WORKER, streams: this.#runs.length, pass: this.#pass };
    return exchangeShare(target, this.#migration, own);
  }

  #take(share: Share): void {
    this.#share = share;
    this.#readAt = performance.now();
    this.#apply();
  }

  /** This process's share of the bytes: in proportion to its share of the streams that may run. */
  #apply(): void {
    const { limits, before, after } = this.#share;
    const mine = Math.min(this.#runs.length, this.#allowed);
    const most = limits.copyStreams === 0 ? Infinity : limits.copyStreams;
    const all = Math.min(most, before + this.#runs.length + after);
    const part = mine === 0 || all === 0 ? 1 : Math.min(1, mine / all);
    this.#bucket.limit(limits.copyBytesPerSecond * part, performance.now());
  }

  /**
   * Runs until the last stream has left. While the target does not answer, the last known limits apply: the streams need the
   * target too.
   */
  async #readLimits(): Promise<void> {
    const { signal } = this.#ended;
    const pause = () => sleep(READ_EVERY_MS, undefined, { signal }).catch(() => undefined);
    while (!signal.aborted) {
      try {
        await using target = await connectTarget(this.#migration, 'limits', {
          aside: true,
          signal,
          statementTimeoutMs: ANSWER_WITHIN_MS,
        });
        // This data need not survive a crash, and it is written every second.
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
    this.#log.warn('the limits of the copy cannot be read; the last known limits apply', {
      code,
      sqlstate: details.sqlstate,
    });
  }
}
