/**
 * The loop between the two connections: receive, collect, apply, confirm. While one batch is applied, the next is received;
 * at most these two and the reader's queue are in memory.
 *
 * It ends at a commit boundary, for one of these reasons: `until` is reached, the lease is over, an anchor is wanted, the signal
 * is aborted, or something failed. Complete transactions that were received before the stream failed are applied first, so they need not be
 * read again.
 */
import { compareLsn, lsnDistance } from '../../contract/lsn.ts';
import type { Batch } from '../apply/batch.ts';
import type { Barrier } from '../store/barrier.ts';
import { applyAnchor, type Passed } from './anchor-pass.ts';
import { BatchWriting } from './batch-writing.ts';
import { Intake } from './intake.ts';
import type { LoopParts } from './loop-parts.ts';
import type { LeaseSummary } from './lease-summary.ts';

/** Longest sleep, and so the check interval of lease and position timers. */
const CHECK_MS = 250;

export class StreamLoop {
  #parts: LoopParts;
  readonly #intake: Intake;
  /** Whether the target waits for changes: the next commit ends the batch. */
  #wanted = false;
  readonly #writing: BatchWriting;
  #taken = 0;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#intake = new Intake(parts, (table, why) => this.#writing.ways.left(table, why));
    this.#writing = new BatchWriting(parts, this.#intake.horizon);
  }

  /**
   * Continues in the next lease after a {@link run} that was neither aborted nor failed. Changes of a transaction without its
   * commit are kept, so everything that their interpretation depends on must be the same: reader, mappings and limits.
   */
  continueWith(parts: LoopParts): void {
    this.#parts = parts;
    this.#writing.continueWith(parts);
    this.#intake.continueWith(parts);
  }

  /** Ends the run at the next batch, for a reason outside the stream. */
  fail(error: unknown): void {
    this.#writing.fail(error);
  }

  /** Grows when an item was taken, a part of a large item arrived, or a batch was written. */
  get progress(): number {
    return this.#taken + this.#parts.reader.parts + this.#writing.writes;
  }

  /**
   * Grows when the current work makes progress. While a batch is written only that counts, because the loop takes items in
   * parallel.
   */
  get done(): number {
    return this.applying ? this.#writing.writes : this.progress;
  }

  /** Since the start of the lease. */
  get ways(): LeaseSummary {
    return this.#writing.ways;
  }

  /** Whether a batch is being applied. */
  get applying(): boolean {
    return this.#writing.batch !== null;
  }

  get reached(): boolean {
    const { until, writer } = this.#parts;
    return until !== null && compareLsn(writer.checkpoint.confirmedLsn, until) >= 0;
  }

  /** Commit time of the oldest changes that wait to be applied; undefined when none wait. */
  get waiting(): string | null | undefined {
    const { batch } = this.#writing;
    if (batch !== null && batch.size > 0) return batch.committedAt;
    if (!this.#intake.gathering.empty) return this.#intake.gathering.committedAt;
    return this.#parts.reader.waiting || this.#sealed.length > 0 ? null : undefined;
  }

  /**
   * Runs until one of the ends. After an abort the writer may still be active: see {@link settled}.
   * @throws what the stream or the target failed with.
   */
  async run(): Promise<void> {
    const { signal, reader } = this.#parts;
    let wake = (): void => undefined;
    const aborted = new Promise<void>((resolve) => {
      wake = (): void => {
        reader.nudge();
        resolve();
      };
    });
    // One activity may run many leases with its signal: listeners would pile up.
    signal.addEventListener('abort', wake, { once: true });
    try {
      let streamFailure: { readonly error: unknown } | null = null;
      // When the lease ends, nothing more is received: under a steady load there would always be one more batch.
      let ending = false;
      while (!signal.aborted) {
        this.#writing.raise();
        if (!ending) {
          try {
            await this.#receive();
          } catch (error) {
            streamFailure = { error };
          }
          ending = streamFailure !== null || this.#isOver();
        }
        // Receiving may have waited for a catalog query. If a batch failed at that time, the next one must not be committed
        // after the gap.
        this.#writing.raise();
        this.#seal(ending);
        this.#writing.feed(this.#sealed);
        if (ending && this.#writing.batch === null && this.#sealed.length === 0) break;
        // With a full batch ready, or an anchor that waits for the batch that is being written, only the target can make progress:
        // a reader with items would not wait, and nothing that the socket brings would ever be seen.
        const blocked = ending || this.#sealed.length > 0 || (this.#anchorWanted && this.#between);
        await (blocked
          ? Promise.race([this.#writing.written, aborted])
          : reader.ready(this.#waitMilliseconds()));
      }
      if (!signal.aborted && streamFailure !== null) throw streamFailure.error;
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }

  /** Whether a batch failed; after an abort, the failure was not thrown. */
  get failed(): boolean {
    return this.#writing.failed;
  }

  get #sealed(): Batch[] {
    return this.#intake.gathering.sealed;
  }

  /** Resolves when the writer is idle; never rejects. */
  async settled(): Promise<void> {
    await this.#writing.written;
  }

  /** Takes available items until the next batch is complete. */
  async #receive(): Promise<void> {
    const { reader } = this.#parts;
    const anchorWanted = this.#anchorWanted;
    if (anchorWanted && this.#between) return;
    const toBoundary = this.#wanted || anchorWanted;
    while (this.#sealed.length === 0) {
      if (this.#intake.gathering.full) {
        await this.#intake.gathering.cut();
        return;
      }
      const item = reader.take();
      if (item === null) return;
      this.#taken += 1;
      const deciding = this.#intake.item(item);
      // Most lines need no await, and a promise for each would cost more than the line.
      if (deciding !== null) await deciding;
      if (toBoundary && this.#between) return;
    }
  }

  #isOver(): boolean {
    if (this.#assemblingHuge) return false;
    return (
      this.#reachable ||
      this.#parts.lease.over(performance.now()) ||
      (this.#anchorWanted && this.#between)
    );
  }

  get #anchorWanted(): boolean {
    return this.#parts.anchorWanted?.() === true;
  }

  /** No transaction has arrived in part. */
  get #between(): boolean {
    return this.#intake.gathering.open === null;
  }

  /**
   * Whether everything received is applied, with no transaction in part: after such a {@link run} the stream stands at the
   * target's checkpoint.
   */
  get stands(): boolean {
    const { writer } = this.#parts;
    const { position } = this.#intake.horizon;
    const idle = this.#writing.batch === null && this.#sealed.length === 0 && !writer.open;
    return idle && this.#between && writer.checkpoint.confirmedLsn === position;
  }

  /**
   * Applies what an anchor shows beyond the position at which the stream stands, and stores its barrier. The loop cannot be run
   * again: it has received more than it has applied.
   * @throws as {@link run}.
   */
  async pass(anchor: Barrier, withinMs: number): Promise<Passed> {
    const { filter } = this.#parts;
    if (filter === undefined) throw new RangeError('an anchor needs a filter');
    const parts = { ...this.#parts, filter, intake: this.#intake, writing: this.#writing };
    return applyAnchor(parts, anchor, withinMs);
  }

  /** Between two parts of a huge transaction there is no commit boundary to end at. */
  get #assemblingHuge(): boolean {
    return (
      this.#parts.writer.open ||
      this.#intake.gathering.continuing ||
      this.#writing.batch?.end === null ||
      this.#sealed.some((batch) => batch.end === null)
    );
  }

  /** Everything before `until` was received. */
  get #reachable(): boolean {
    const { until } = this.#parts;
    return until !== null && compareLsn(this.#intake.horizon.position, until) >= 0;
  }

  #seal(ending: boolean): void {
    this.#wanted = false;
    if (this.#sealed.length > 0 || this.#writing.batch !== null || this.#parts.writer.open) return;
    const gathering = this.#intake.gathering;
    const now = performance.now();
    if (ending) {
      if (!gathering.empty || this.#positionDue(ending, now)) gathering.seal();
    } else if (gathering.dueIn(now) === 0) {
      // Wait for the commit of the arriving transaction: a cut before it would mean reading all lines again.
      if (gathering.inside) this.#wanted = true;
      else gathering.seal();
    } else if (this.#positionDue(ending, now) && !gathering.inside) gathering.seal();
  }

  /** A position alone costs a target transaction: store it only at intervals and at the end. */
  #positionDue(ending: boolean, now: number): boolean {
    const { writer, limits } = this.#parts;
    const { position } = this.#intake.horizon;
    if (!this.#intake.gathering.empty || !writer.wouldAdvance(position)) return false;
    const { confirmedLsn } = writer.checkpoint;
    return (
      ending ||
      now - this.#writing.storedAt >= limits.positionMs ||
      lsnDistance(confirmedLsn, position) >= limits.positionBytes
    );
  }

  #waitMilliseconds(): number {
    const idle = this.#writing.batch === null && !this.#wanted;
    const due = idle ? this.#intake.gathering.dueIn(performance.now()) : null;
    return Math.min(CHECK_MS, due ?? CHECK_MS);
  }
}
