/**
 * The loop between the two connections: receive, gather, apply, confirm. While one batch is applied the next is received
 * and gathered; at most those two and the reader's queue are in memory.
 *
 * It ends at a commit boundary, for one of these reasons: `until` is reached, the lease is over, the signal is aborted, or
 * something failed. Whole transactions that were received before the stream failed are applied first: they are in order,
 * and nobody has to read them again.
 */
import { compareLsn, lsnDistance, type Lsn } from '../../contract/lsn.ts';
import type { LastCommit } from '../control/epoch.ts';
import type { TableName } from '../catalog/selection.ts';
import { Assembler, type Piece } from '../replication/assemble.ts';
import { Horizon } from '../replication/confirm.ts';
import type { ReplicationReader, Unreadable, Unsent } from '../replication/reader.ts';
import { decodeMessage } from '../wal2json/decode.ts';
import type { Commit, WalMessage } from '../wal2json/message.ts';
import { Gathering, type Batch, type BatchLimits } from './batch.ts';
import { changesOf, type Routes, type Unsettled } from './filter.ts';
import type { Lease } from './lease.ts';
import type { Marks } from './marks.ts';
import type { Meter } from './meter.ts';
import type { TargetWriter } from './writer.ts';

export interface LoopLimits extends BatchLimits {
  /** A position without changes is stored at least so often, so that an idle database's slot moves. Milliseconds. */
  readonly positionMs: number;
  /** … or when it has moved on so many bytes. */
  readonly positionBytes: number;
}

export interface LoopParts {
  readonly reader: Pick<
    ReplicationReader,
    'take' | 'ready' | 'nudge' | 'confirm' | 'waiting' | 'receivedLsn'
  >;
  readonly writer: TargetWriter;
  readonly routes: Routes;
  /** Finds out what an unknown table is and sets its route, or throws. */
  readonly settle: (table: Unsettled) => Promise<void>;
  /** Called for every TRUNCATE, with its transaction. */
  readonly emptied: (table: TableName, xid: number) => void;
  /** Throws for a table of which the source did not send a change. */
  readonly missed: (table: Unsettled) => Promise<never>;
  readonly newest: Lsn | null;
  /** What the copy wrote into the WAL ahead: the stream has to meet it. */
  readonly marks: Marks;
  readonly lease: Lease;
  readonly meter: Meter;
  readonly limits: LoopLimits;
  /** Awaited before a batch of so many changes; false: it is not to be applied, because the signal was aborted. */
  readonly allow?: (changes: number) => Promise<boolean>;
  readonly until: Lsn | null;
  readonly signal: AbortSignal;
}

/**
 * Changes in one piece of a huge transaction. A piece is there three times at the same moment (being assembled, waiting,
 * being applied); with small rows larger pieces cost memory and bring no speed.
 */
const PIECE_CHANGES = 5_000;
/** Longest sleep: lease and position timers are looked at so often. */
const LOOK_MS = 250;

export class StreamLoop {
  readonly #parts: LoopParts;
  readonly #start: Lsn;
  readonly #assembler: Assembler;
  readonly #horizon: Horizon;
  readonly #gathering: Gathering;
  /** Sealed, in order, not yet given to the writer; holds more than one only around a huge transaction. */
  readonly #sealed: Batch[] = [];
  #writing: Batch | null = null;
  #written: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | null = null;
  /** The newest commit before the horizon's position. */
  #commit: LastCommit | null = null;
  #storedAt = performance.now();
  #progress = 0;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    const start = parts.writer.checkpoint.confirmedLsn;
    this.#start = start;
    const { changes, bytes } = parts.limits;
    this.#assembler = new Assembler(start, { changes: Math.min(changes, PIECE_CHANGES), bytes });
    this.#horizon = new Horizon(start);
    this.#gathering = new Gathering(parts.limits);
  }

  /** Grows when an item was taken or a batch written. */
  get progress(): number {
    return this.#progress;
  }

  /** Whether the target is at work right now. */
  get applying(): boolean {
    return this.#writing !== null;
  }

  get reached(): boolean {
    const { until, writer } = this.#parts;
    return until !== null && compareLsn(writer.checkpoint.confirmedLsn, until) >= 0;
  }

  /** Commit time of what waits to be applied; undefined when nothing waits. */
  get waiting(): string | null | undefined {
    if (this.#writing && this.#writing.changes.length > 0) return this.#writing.committedAt;
    if (!this.#gathering.empty) return this.#gathering.committedAt;
    return this.#parts.reader.waiting || this.#sealed.length > 0 ? null : undefined;
  }

  /**
   * Runs until one of the ends. After an abort the writer may still be at work: see {@link settled}.
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
    // One activity may run many leases over its signal: what is left on it would add up.
    signal.addEventListener('abort', wake, { once: true });
    try {
      let streamFailure: { readonly error: unknown } | null = null;
      // Once it ends nothing more is received: under a steady load there would always be one more batch.
      let ending = false;
      while (!signal.aborted) {
        this.#raise();
        if (!ending) {
          try {
            await this.#receive();
          } catch (error) {
            streamFailure = { error };
          }
          ending = streamFailure !== null || this.#isOver();
        }
        // Receiving may have waited for a catalog, and a batch may have failed meanwhile: the next one must not be
        // committed behind a gap.
        this.#raise();
        this.#seal(ending);
        this.#feedWriter();
        if (ending && this.#writing === null && this.#sealed.length === 0) break;
        // With a full batch in hand the next thing to happen is the target's.
        const blocked = ending || this.#sealed.length > 0 || this.#gathering.full;
        await (blocked ? Promise.race([this.#written, aborted]) : reader.ready(this.#patience()));
      }
      if (!signal.aborted && streamFailure !== null) throw streamFailure.error;
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }

  /** What the target failed with, if it did; after an abort nobody has thrown it. */
  get failed(): boolean {
    return this.#failure !== null;
  }

  /** Resolves when the writer is idle; never rejects. */
  async settled(): Promise<void> {
    await this.#written;
  }

  /** Takes what is there, until the next batch is full. */
  async #receive(): Promise<void> {
    const { reader } = this.#parts;
    while (this.#sealed.length === 0 && !this.#gathering.full) {
      const item = reader.take();
      if (item === null) return;
      this.#progress += 1;
      if (item.kind === 'keepalive') this.#keepalive(item.lsn);
      else if (item.kind === 'message')
        await this.#message(decodeMessage(item.text, item.lsn), item.bytes);
      else await this.#missing(item);
    }
  }

  #keepalive(lsn: Lsn): void {
    this.#horizon.keepalive(lsn);
    this.#parts.marks.passed(this.#horizon.position);
    const { meter, lease } = this.#parts;
    if (meter.caughtUpAt(this.#horizon.position)) lease.caughtUp();
  }

  async #message(message: WalMessage, bytes: number): Promise<void> {
    const { marks } = this.#parts;
    if (message.action === 'M') marks.met(message);
    // Before anything of it is gathered: a commit behind a mark that did not come is of another history.
    if (message.action === 'C') marks.passed(message.nextlsn);
    if (message.action === 'B') this.#horizon.begin();
    const piece = this.#assembler.push(message, bytes);
    if (piece) await this.#gather(piece);
    // Only now: when the piece was refused, the position must stay before its transaction.
    if (message.action === 'C') this.#ended(message);
  }

  #ended({ lsn, nextlsn, xid, timestamp }: Commit): void {
    this.#horizon.end(nextlsn);
    // The target had what starts before the position that the stream began at.
    if (compareLsn(lsn, this.#start) < 0) return;
    this.#commit = { nextLsn: nextlsn, xid, committedAt: timestamp };
  }

  /** A change was not sent, or cannot be read. It does no harm where the copy holds it, or where the table is not moved. */
  async #missing(item: Unsent | Unreadable): Promise<void> {
    const { schema, table } = item;
    const open = this.#assembler.open;
    if (open === null || open.known) return;
    const { routes, newest, settle, missed } = this.#parts;
    const where = { schema, table, commitLsn: open.lsn, xid: open.xid };
    let route = routes.get(schema, table);
    if (route === undefined) {
      await settle(where);
      route = routes.get(schema, table);
    }
    if (route === null) {
      routes.meet(schema, table, { xid: open.xid, commitLsn: open.lsn });
      return;
    }
    const mayBeCopied = newest !== null && compareLsn(open.lsn, newest) < 0;
    if (route !== undefined && mayBeCopied && route.copied(open.xid, open.lsn)) return;
    if (item.kind === 'unreadable') throw item.failure;
    await missed(where);
  }

  async #gather(piece: Piece): Promise<void> {
    const { routes, newest, settle } = this.#parts;
    let changes = changesOf(piece, routes, newest);
    while (!Array.isArray(changes)) {
      await settle(changes);
      changes = changesOf(piece, routes, newest);
    }
    if (changes.some(({ kind }) => kind === 'truncate')) this.#emptied(piece);
    const committedAt = piece.end?.committedAt ?? null;
    const xid = piece.messages.length > 0 ? piece.xid : null;
    if (piece.first && piece.end) {
      this.#gathering.add(changes, { xid, bytes: piece.bytes, committedAt }, performance.now());
      return;
    }
    // A huge transaction: what was gathered before it is committed by itself, so that only this one stays open.
    if (piece.first && !this.#gathering.untouched) {
      this.#sealed.push(this.#gathering.seal(this.#horizon.position, this.#commit));
    }
    const end = piece.end?.nextLsn ?? null;
    const xids = new Set([piece.xid]);
    const commit = end === null ? null : { nextLsn: end, xid: piece.xid, committedAt };
    const transactions = end === null ? 0 : 1;
    this.#sealed.push({ changes, end, transactions, committedAt, xids, commit });
  }

  #emptied({ messages, xid }: Piece): void {
    for (const { action, schema, table } of messages) {
      if (action === 'T') this.#parts.emptied({ schema, name: table }, xid);
    }
  }

  #isOver(): boolean {
    if (this.#assemblingHuge) return false;
    return this.#reachable || this.#parts.lease.over(performance.now());
  }

  /** Between two pieces there is no commit boundary to end at. */
  get #assemblingHuge(): boolean {
    return (
      this.#parts.writer.open ||
      this.#writing?.end === null ||
      this.#sealed.some((batch) => batch.end === null)
    );
  }

  /** Everything before `until` was received. */
  get #reachable(): boolean {
    const { until } = this.#parts;
    return until !== null && compareLsn(this.#horizon.position, until) >= 0;
  }

  #seal(ending: boolean): void {
    if (this.#sealed.length > 0 || this.#writing !== null || this.#parts.writer.open) return;
    const now = performance.now();
    const due = this.#gathering.full || this.#gathering.dueIn(now) === 0;
    if (due || (ending && !this.#gathering.empty) || this.#positionDue(ending, now)) {
      this.#sealed.push(this.#gathering.seal(this.#horizon.position, this.#commit));
    }
  }

  /** A position alone costs a target transaction: now and then, and at the end. */
  #positionDue(ending: boolean, now: number): boolean {
    const { writer, limits } = this.#parts;
    const { position } = this.#horizon;
    if (!this.#gathering.empty || !writer.wouldAdvance(position)) return false;
    const { confirmedLsn } = writer.checkpoint;
    return (
      ending ||
      now - this.#storedAt >= limits.positionMs ||
      lsnDistance(confirmedLsn, position) >= limits.positionBytes
    );
  }

  #feedWriter(): void {
    if (this.#writing !== null) return;
    const batch = this.#sealed.shift();
    if (batch === undefined) return;
    this.#writing = batch;
    this.#written = this.#write(batch);
  }

  async #write(batch: Batch): Promise<void> {
    const { writer, reader, meter, lease, allow } = this.#parts;
    try {
      if (allow && !(await allow(batch.changes.length))) return;
      const committed = await writer.write(batch);
      meter.applied(batch.changes.length, batch.committedAt);
      if (committed) {
        this.#storedAt = performance.now();
        this.#horizon.stored(writer.checkpoint.confirmedLsn);
        reader.confirm(this.#horizon.confirmable);
        lease.stored(this.#storedAt);
      }
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#writing = null;
      this.#progress += 1;
      reader.nudge();
    }
  }

  #raise(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  #patience(): number {
    const due = this.#writing === null ? this.#gathering.dueIn(performance.now()) : null;
    return Math.min(LOOK_MS, due ?? LOOK_MS);
  }
}
