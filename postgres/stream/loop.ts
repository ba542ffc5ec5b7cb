/**
 * The loop between the two connections: receive, collect, apply, confirm. While one batch is applied, the next is received;
 * at most these two and the reader's queue are in memory.
 *
 * It ends at a commit boundary, for one of these reasons: `until` is reached, the lease is over, the signal is aborted, or
 * something failed. Complete transactions that were received before the stream failed are applied first, so they need not be
 * read again.
 */
import type { LastCommit } from '../store/confirmed-position.ts';
import type { MigrationError } from '../../contract/failure.ts';
import { compareLsn, lsnDistance, type Lsn } from '../../contract/lsn.ts';
import { Horizon } from '../replication/confirm.ts';
import { LineFailure, textOfLine } from '../replication/line.ts';
import type { Line } from '../replication/line-store.ts';
import { decodeMessage } from '../wal2json/decode.ts';
import { HeadReader } from '../wal2json/head.ts';
import type { Commit } from '../wal2json/message.ts';
import type { Batch } from '../apply/gathered-batch.ts';
import { BatchWriting } from './batch-writing.ts';
import { Gathering } from './gathering.ts';
import type { GatheringParts } from './gathering-parts.ts';
import type { LoopParts } from './loop-parts.ts';
import { settleMissing, type ChangedTable } from './missing-change.ts';
import type { Ways } from './ways.ts';

/** Longest sleep, and so the check interval of lease and position timers. */
const CHECK_MS = 250;

export class StreamLoop {
  #parts: LoopParts;
  readonly #start: Lsn;
  readonly #horizon: Horizon;
  readonly #gathering: Gathering;
  readonly #head = new HeadReader();
  /** Whether the target waits for changes: the next commit ends the batch. */
  #wanted = false;
  readonly #writing: BatchWriting;
  /** The last commit before the horizon's position. */
  #commit: LastCommit | null = null;
  #taken = 0;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    const start = parts.writer.checkpoint.confirmedLsn;
    this.#start = start;
    this.#horizon = new Horizon(start);
    this.#writing = new BatchWriting(parts, this.#horizon);
    this.#gathering = new Gathering(this.#gatheringParts(parts));
  }

  /**
   * Continues in the next lease after a {@link run} that was neither aborted nor failed. Changes of a transaction without its
   * commit are kept, so everything that their interpretation depends on must be the same: reader, mappings and limits.
   */
  continueWith(parts: LoopParts): void {
    // A mark may already have arrived in the transaction that is still arriving; it does not arrive twice.
    const { marks } = this.#parts;
    this.#parts = { ...parts, marks };
    this.#writing.continueWith(this.#parts);
    this.#gathering.continueWith(this.#gatheringParts(parts));
  }

  /** Ends the run at the next batch, for a reason outside the stream. */
  fail(error: unknown): void {
    this.#writing.fail(error);
  }

  #gatheringParts(parts: LoopParts): GatheringParts {
    return {
      ...parts,
      start: this.#start,
      position: () => ({ end: this.#horizon.position, commit: this.#commit }),
      left: (table, why) => this.#writing.ways.left(table, why),
    };
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
  get ways(): Ways {
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
    if (!this.#gathering.empty) return this.#gathering.committedAt;
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
        // With a full batch ready, only the target can make progress.
        const blocked = ending || this.#sealed.length > 0;
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
    return this.#gathering.sealed;
  }

  /** Resolves when the writer is idle; never rejects. */
  async settled(): Promise<void> {
    await this.#writing.written;
  }

  /** Takes available items until the next batch is complete. */
  async #receive(): Promise<void> {
    const { reader } = this.#parts;
    while (this.#sealed.length === 0) {
      if (this.#gathering.full) {
        await this.#gathering.cut();
        return;
      }
      const item = reader.take();
      if (item === null) return;
      this.#taken += 1;
      if (item.kind === 'keepalive') this.#keepalive(item.lsn);
      else if (item.kind === 'warning') await this.#missing(item);
      else {
        const deciding = this.#line(item);
        // Most lines need no await, and a promise for each would cost more than the line.
        if (deciding !== null) await deciding;
      }
      if (this.#wanted && this.#gathering.open === null) return;
    }
  }

  #keepalive(lsn: Lsn): void {
    this.#horizon.keepalive(lsn);
    this.#parts.marks.passed(this.#horizon.position);
    const { meter, lease } = this.#parts;
    if (meter.caughtUpAt(this.#horizon.position)) lease.caughtUp();
  }

  /** @returns a promise when a query is needed before the next line. */
  #line(line: Line): Promise<void> | null {
    const head = this.#head;
    const kind = head.read(line.bytes, line.from, line.to);
    switch (kind) {
      case 'insert':
      case 'update':
      case 'delete':
        return this.#gathering.row(kind, line, head) ? null : this.#exact(line);
      case 'begin':
        this.#begin(head.xid, head.lsn);
        return null;
      case 'commit': {
        const { xid, lsn, nextLsn, timestamp } = head;
        return this.#ended({ action: 'C', xid, lsn, nextlsn: nextLsn, timestamp });
      }
      case 'other':
        return this.#exact(line);
    }
  }

  /** Handles a line that must be decoded. */
  #exact(line: Line): Promise<void> | null {
    const at = line.lsn;
    const text = textOfLine(line.own, this.#parts.limits.messageBytes);
    if (text instanceof LineFailure) return this.#unreadable(text, at);
    const message = decodeMessage(text, at);
    switch (message.action) {
      case 'B':
        this.#begin(message.xid, message.lsn);
        return null;
      case 'C':
        return this.#ended(message);
      case 'M':
        // It does not move the position; the commit of its transaction does.
        this.#parts.marks.met(message);
        return null;
      case 'I':
      case 'U':
      case 'D':
      case 'T':
        this.#gathering.exact(message, line.length);
        return null;
    }
  }

  #begin(xid: number, lsn: Lsn): void {
    this.#horizon.begin();
    this.#gathering.begin(xid, lsn);
  }

  #ended(commit: Commit): Promise<void> | null {
    // Before any of it is collected: a commit after a missing mark is from another history.
    this.#parts.marks.passed(commit.nextlsn);
    const deciding = this.#gathering.commit(commit, performance.now());
    // Only after the decision: when a change is refused, the position must stay before its transaction.
    if (deciding !== null) return deciding.then(() => this.#passed(commit));
    this.#passed(commit);
    return null;
  }

  #passed({ lsn, nextlsn, xid, timestamp }: Commit): void {
    this.#horizon.end(nextlsn);
    this.#parts.doubt?.committed(xid, lsn);
    // The target already had commits that start before the stream's start.
    if (compareLsn(lsn, this.#start) < 0) return;
    this.#commit = { nextLsn: nextlsn, xid, committedAt: timestamp };
  }

  /** Handles an undecodable line. If it is a change of a wanted table, nothing after it is applied. */
  #unreadable(failure: LineFailure, at: Lsn): Promise<void> | null {
    const { subject } = failure;
    if (subject === 'message') return null;
    if (subject === null) throw failure.at(at);
    return this.#missing({ schema: subject.schema, table: subject.name }, failure.at(at));
  }

  /** A change that was not sent or cannot be decoded. @param failure why it cannot be decoded. */
  async #missing(table: ChangedTable, failure?: MigrationError): Promise<void> {
    const { open } = this.#gathering;
    await settleMissing(this.#parts, table, open, this.#horizon.position, failure);
  }

  #isOver(): boolean {
    if (this.#assemblingHuge) return false;
    return this.#reachable || this.#parts.lease.over(performance.now());
  }

  /** Between two parts of a huge transaction there is no commit boundary to end at. */
  get #assemblingHuge(): boolean {
    return (
      this.#parts.writer.open ||
      this.#gathering.continuing ||
      this.#writing.batch?.end === null ||
      this.#sealed.some((batch) => batch.end === null)
    );
  }

  /** Everything before `until` was received. */
  get #reachable(): boolean {
    const { until } = this.#parts;
    return until !== null && compareLsn(this.#horizon.position, until) >= 0;
  }

  #seal(ending: boolean): void {
    this.#wanted = false;
    if (this.#sealed.length > 0 || this.#writing.batch !== null || this.#parts.writer.open) return;
    const gathering = this.#gathering;
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
    const { position } = this.#horizon;
    if (!this.#gathering.empty || !writer.wouldAdvance(position)) return false;
    const { confirmedLsn } = writer.checkpoint;
    return (
      ending ||
      now - this.#writing.storedAt >= limits.positionMs ||
      lsnDistance(confirmedLsn, position) >= limits.positionBytes
    );
  }

  #waitMilliseconds(): number {
    const idle = this.#writing.batch === null && !this.#wanted;
    const due = idle ? this.#gathering.dueIn(performance.now()) : null;
    return Math.min(CHECK_MS, due ?? CHECK_MS);
  }
}
