/**
 * Limits the changes per second of one lease of the stream by pausing before a batch. The limit is stored on the target and read
 * over the applying session between two batches, at most once a second, so that an idle stream queries nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Heartbeat } from '../../contract/work.ts';
import { readLimits } from '../store/throttle.ts';
import { Bucket } from './bucket.ts';

const READ_EVERY_MS = 1_000;

export class ApplyThrottle {
  readonly #client: pg.ClientBase;
  readonly #migration: Migration;
  readonly #signal: AbortSignal;
  readonly #bucket = new Bucket(performance.now());
  #readAt = -Infinity;
  #looks = 0;
  #waiting = false;

  /**
   * @param client the applying session; queried only between two batches, also inside its open transaction.
   * @param signal ends a pause at once.
   */
  constructor(client: pg.ClientBase, migration: Migration, signal: AbortSignal) {
    this.#client = client;
    this.#migration = migration;
    this.#signal = signal;
  }

  /** Reads the limit before the first batch is collected. @throws an error of the driver. */
  async begin(): Promise<void> {
    await this.#read();
  }

  /** Increases while it pauses, so that a pause is not taken for a stall. */
  get looks(): number {
    return this.#looks;
  }

  /** For the heartbeat; empty without a limit. */
  get details(): Heartbeat {
    const { rate } = this.#bucket;
    return rate === 0 ? {} : { changesPerSecondLimit: rate, limited: this.#waiting };
  }

  /** Maximum changes of one batch. With a limit, about one second's worth; otherwise the target would get bursts. */
  batch(most: number): number {
    const { rate } = this.#bucket;
    return rate === 0 ? most : Math.min(most, rate);
  }

  /**
   * Waits until a batch of this many changes may be applied. A batch larger than the limit is not split: the pause follows it.
   * Nor does a pause keep a transaction open on the target: its changes are paid for after its commit.
   * @param open whether the batch is a further piece of such a transaction.
   * @returns false when the signal was aborted: the batch must not be applied.
   */
  async pass(changes: number, open = false): Promise<boolean> {
    if (changes === 0) return true;
    while (!open) {
      await this.#read();
      if (this.#signal.aborted) return false;
      const ms = this.#bucket.wait(performance.now());
      this.#waiting = ms > 0;
      if (ms === 0) break;
      this.#looks += 1;
      await sleep(Math.min(ms, READ_EVERY_MS), undefined, { signal: this.#signal }).catch(
        () => undefined,
      );
    }
    this.#bucket.take(changes, performance.now());
    return true;
  }

  async #read(): Promise<void> {
    if (performance.now() - this.#readAt < READ_EVERY_MS) return;
    const { applyChangesPerSecond } = await readLimits(this.#client, this.#migration);
    this.#readAt = performance.now();
    this.#bucket.limit(applyChangesPerSecond, this.#readAt);
  }
}
