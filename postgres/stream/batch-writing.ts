/** One batch at a time is written while the next is collected; what is stored with it may be confirmed to the source. */
import type { Batch } from '../apply/batch.ts';
import type { Horizon } from '../replication/confirm.ts';
import type { LoopParts } from './loop-parts.ts';
import { LeaseSummary } from './lease-summary.ts';

export class BatchWriting {
  #parts: LoopParts;
  readonly #horizon: Horizon;
  #failure: { readonly error: unknown } | null = null;
  #ways = new LeaseSummary();
  /** The batch that is being written. */
  batch: Batch | null = null;
  /** Resolves when the writer is idle; never rejects. */
  written: Promise<void> = Promise.resolve();
  /** When a position was stored last. */
  storedAt = performance.now();
  /** How many batches were written. */
  writes = 0;

  constructor(parts: LoopParts, horizon: Horizon) {
    this.#parts = parts;
    this.#horizon = horizon;
  }

  /** Continues in the next lease. */
  continueWith(parts: LoopParts): void {
    this.#parts = parts;
    this.#ways = new LeaseSummary();
  }

  /** Since the start of the lease. */
  get ways(): LeaseSummary {
    return this.#ways;
  }

  get failed(): boolean {
    return this.#failure !== null;
  }

  /** The first failure counts. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#parts.reader.nudge();
  }

  /** @throws the failure, if there was one. */
  raise(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Starts to write the first batch if none is being written, and builds the statements of the one after it meanwhile. */
  feed(sealed: Batch[]): void {
    if (this.batch === null) {
      const batch = sealed.shift();
      if (batch === undefined) return;
      this.batch = batch;
      this.written = this.#write(batch);
    }
    const [next] = sealed;
    if (next !== undefined) this.#parts.writer.prepare(next);
  }

  async #write(batch: Batch): Promise<void> {
    const { writer, reader, meter, lease, allow } = this.#parts;
    try {
      // Both sides wait for a barrier.
      const limited = batch.barrier === undefined ? allow : undefined;
      if (limited && !(await limited(batch.size, writer.open))) return;
      const { committed, exact } = await writer.write(batch);
      this.#ways.applied(batch.size, exact);
      meter.applied(batch.size, batch.committedAt);
      if (committed) {
        this.storedAt = performance.now();
        this.#horizon.stored(writer.checkpoint.confirmedLsn);
        reader.confirm(this.#horizon.confirmable);
        lease.stored(this.storedAt);
      }
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      for (const { release } of batch.folded) release();
      this.batch = null;
      this.writes += 1;
      reader.nudge();
    }
  }
}
