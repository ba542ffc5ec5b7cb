/**
 * Collects the lines of the stream into batches. wal2json sends a transaction after its commit, complete and in commit order.
 * Complete transactions are collected until a batch is full or the target is free. A transaction that is larger than a batch is
 * split into several, so that memory stays constant; only the last one has its commit. Transactions before it are committed
 * separately, so that only the huge one stays open.
 *
 * A line takes its table's fast path into rows, or it is decoded and handled at the commit of its transaction. The lines of the
 * fast path are kept: they are read again if a batch has to end before the last one, or if the target refuses the rows.
 */
import type { Lsn } from '../../contract/lsn.ts';
import type { Change } from '../apply/change.ts';
import type { Batch } from '../apply/batch.ts';
import type { TableRows } from '../apply/table-rows.ts';
import { mayHoldExtremeInterval } from '../catalog/version-form.ts';
import { LineStore, type Line } from '../replication/line-store.ts';
import { malformed, outsideTransaction } from '../replication/stream-failure.ts';
import { HeadReader, type LineKind } from '../wal2json/head.ts';
import type { Commit, RowMessage, TruncateMessage } from '../wal2json/message.ts';
import { arrive, type ArrivingTransaction, type Open } from './arriving-transaction.ts';
import { decideExact } from './decided-change.ts';
import { left, type GatheringParts } from './gathering-parts.ts';
import { decodeLines, insertInto, readDifferently, whyNot } from './kept-line.ts';
import type { TablePath } from './table-path.ts';
import { PendingBatch } from './pending-batch.ts';
import { TablePaths } from './table-paths.ts';

/** What the target stores along with a batch. */
type StoredWith = Pick<Batch, 'end' | 'commit' | 'barrier'>;

/** Changes in one part of a huge transaction: with small rows, larger parts only need more memory. */
const PIECE_CHANGES = 8_000;

export class Gathering {
  /** Complete batches, in order, not yet passed to the writer; more than one only around a huge transaction. */
  readonly sealed: Batch[] = [];
  #parts: GatheringParts;
  readonly #paths = new TablePaths();
  readonly #head = new HeadReader();
  readonly #store = new LineStore();
  #serial = 0;
  /** Grows with every transaction, and with every part of a huge one. */
  #part = 0;
  /** Grows with every batch that does not begin with changes of an open transaction. */
  #batch = 1;
  #open: ArrivingTransaction | null = null;
  #pending = new PendingBatch();
  /** Set after a TRUNCATE: it may concern several tables, and nothing may overtake it. */
  #allExact = false;
  /** Set after a duplicate key: the rows are discarded, and everything is applied change by change. */
  #refused = false;

  constructor(parts: GatheringParts) {
    this.#parts = parts;
  }

  /** Keeps the collected changes; see the method of the same name in the loop. */
  continueWith(parts: GatheringParts): void {
    this.#parts = parts;
  }

  /** The transaction whose commit has not arrived yet; null between two transactions. */
  get open(): Open | null {
    return this.#open;
  }

  /** Whether parts of the open transaction are already sealed: nothing can end before its commit. */
  get continuing(): boolean {
    return this.#open?.first === false;
  }

  /** Whether it holds changes of an incomplete transaction. */
  get inside(): boolean {
    return this.#open !== null && this.#open.rows + this.#open.messages.length > 0;
  }

  /** Whether it holds no complete transaction with a change. */
  get empty(): boolean {
    return this.#pending.size === 0;
  }

  get untouched(): boolean {
    return this.#pending.untouched;
  }

  get full(): boolean {
    const { changes, bytes, tables = Infinity } = this.#parts.limits;
    // Excluded transactions count, too: if there were no others, no position would be stored and their ids would pile up.
    if (this.#pending.relations.size >= tables || this.#pending.xids.size >= changes) return true;
    const open = this.#open;
    if (open === null) return this.#pending.size >= changes || this.#pending.bytes >= bytes;
    const last = open.messages.at(-1);
    // The tables of one TRUNCATE must stay together: with foreign keys between them, PostgreSQL allows nothing else.
    if (last?.action === 'T') return false;
    // Complete transactions wait for the commit of a small one: a cut before it would mean reading all lines again.
    const rows = open.rows + open.messages.length;
    return rows >= Math.min(changes, PIECE_CHANGES) || open.bytes >= bytes;
  }

  /** Commit time of the latest complete transaction. */
  get committedAt(): string | null {
    return this.#pending.committedAt;
  }

  /** Milliseconds until the age limit; 0 when it is reached, null while there is no change. */
  dueIn(now: number): number | null {
    return this.#pending.dueIn(now, this.#parts.limits.age);
  }

  begin(xid: number, lsn: Lsn): void {
    if (this.#open) throw malformed('a transaction inside another', lsn);
    this.#serial += 1;
    this.#part += 1;
    this.#open = arrive(xid, lsn, this.#serial, this.#parts, this.#pending.lines.length);
  }

  /**
   * Takes a change on the fast path, or an excluded one.
   * @param head the parsed head of the line.
   * @returns false for a line that the caller must decode, for {@link exact}.
   * @throws MigrationError `StreamMalformed`.
   */
  row(kind: LineKind, line: Line, head: HeadReader): boolean {
    const open = this.#open;
    if (open?.xid !== head.xid) throw outsideTransaction(open?.lsn ?? null);
    // The head does not have the LSN of the change.
    if (this.#parts.doubt) return false;
    if (open.known) return true;
    const path = this.#paths.of(line, head, this.#parts);
    if (path === null) return false;
    const { mapping } = path;
    if (mapping === null) {
      // For each change: the names met are checked at the end of a batch, and the transaction may continue after it.
      this.#parts.mappings.meet(path.schema, path.table);
      return true;
    }
    if (path.decidedFor !== open.serial) {
      path.decidedFor = open.serial;
      path.copied = open.mayBeCopied && mapping.copied(open.xid, open.lsn);
    }
    if (path.copied) return true;
    const { messageBytes, exactly } = this.#parts.limits;
    if (this.#allExact || exactly === true) return false;
    if (line.length > messageBytes) return left(this.#parts, path, 'length');
    if (path.exactThrough === Infinity) return left(this.#parts, path, 'table');
    if (path.exactThrough >= this.#batch) return false;
    const { disguised, intervals } = mapping;
    if (disguised.size > 0 || (intervals.size > 0 && mayHoldExtremeInterval(line.own))) {
      // The exact path finds the column.
      path.exactThrough = this.#batch;
      return left(this.#parts, path, 'values');
    }
    const rows = this.#rowsOf(path);
    if (!insertInto(rows, kind, line, head.body)) {
      path.exactThrough = this.#batch;
      this.#refused ||= rows.broken;
      return left(this.#parts, path, whyNot(rows, kind));
    }
    this.#store.keep(line);
    this.#pending.lines.push(line);
    open.rows += 1;
    open.bytes += line.length;
    if (path.usedFor !== this.#part) {
      path.usedFor = this.#part;
      open.paths.push(path);
    }
    return true;
  }

  /** Takes a change on the exact path. @param bytes size of its line. @throws MigrationError `StreamMalformed`. */
  exact(message: RowMessage | TruncateMessage, bytes: number): void {
    const open = this.#open;
    if (open?.xid !== message.xid) throw outsideTransaction(message.lsn);
    const { schema, table, lsn } = message;
    const place = { lsn, xid: open.xid, commitLsn: open.lsn };
    // Also what a barrier knows: the anchor decided by a name that may have been wrong already.
    this.#parts.doubt?.met({ schema, name: table }, place);
    if (open.known) return;
    open.messages.push(message);
    open.bytes += bytes;
    const leftOut = this.#parts.mappings.get(schema, table) === null;
    if (message.action === 'T' && !leftOut) this.#allExact = true;
  }

  /**
   * Completes the open transaction.
   * @returns null, or a promise when its changes must be decided first.
   * @throws MigrationError `StreamMalformed`, or like `settle`.
   */
  commit(message: Commit, now: number): Promise<void> | null {
    const open = this.#open;
    if (open?.xid !== message.xid || open.lsn !== message.lsn) {
      throw malformed('a commit without its transaction', message.lsn);
    }
    if (open.known || open.messages.length === 0) {
      this.#close(open, [], message, now);
      return null;
    }
    return decideExact(open, this.#parts).then((changes) =>
      this.#close(open, changes, message, now),
    );
  }

  /**
   * Seals a batch of all complete transactions; changes of an open one start the next batch.
   * @param at what is stored with it.
   */
  seal(at: StoredWith = this.#parts.position()): void {
    const open = this.#open;
    if (open === null || open.rows === 0) {
      this.#push(at);
      this.#begin([], open !== null && open.messages.length > 0);
      if (open) open.from = 0;
      return;
    }
    const later = this.#pending.lines.splice(open.from);
    for (const path of this.#pending.used) path.rows?.reset();
    this.#read(this.#pending.lines);
    this.#push(at);
    this.#begin(later, true);
    open.from = 0;
  }

  /** Seals a batch while a transaction is open: of the transactions before it, or else of a part of it. */
  async cut(): Promise<void> {
    const open = this.#open;
    if (open === null || !this.untouched) {
      this.seal();
      return;
    }
    this.#pending.add(open, await decideExact(open, this.#parts));
    this.#pending.xids.add(open.xid);
    this.#push({ end: null, commit: null });
    this.#begin([], false);
    open.first = false;
    open.from = 0;
    this.#part += 1;
  }

  #close(
    open: ArrivingTransaction,
    changes: readonly Change[],
    message: Commit,
    now: number,
  ): void {
    this.#open = null;
    if (open.known) return;
    this.#pending.end(open, changes, message, now);
    if (open.first) return;
    const { nextlsn, timestamp, xid } = message;
    this.#push({ end: nextlsn, commit: { nextLsn: nextlsn, xid, committedAt: timestamp } });
    this.#begin([], false);
  }

  #rowsOf(path: TablePath): TableRows {
    if (path.rows === null) this.#pending.used.push(path);
    return path.use();
  }

  #push(at: StoredWith): void {
    const pending = this.#pending;
    const folded = pending.fold((path, forGood) => {
      left(this.#parts, path, 'refused');
      path.refused(forGood, this.#batch);
    });
    const { lines, ends, changes } = pending;
    const exactly = (): readonly Change[] => {
      const { mappings, newest } = this.#parts;
      return [...decodeLines(lines, ends, mappings, newest), ...changes];
    };
    this.sealed.push({ ...pending.sealed(folded, exactly, this.#refused), ...at });
  }

  /**
   * Starts the next batch.
   * @param lines collected lines of the open transaction.
   * @param pending whether any of its changes is collected: then its tables keep their paths.
   */
  #begin(lines: Line[], pending: boolean): void {
    this.#pending = new PendingBatch(lines);
    if (!pending) {
      this.#batch += 1;
      this.#allExact = false;
      this.#refused = false;
    }
    this.#read(lines);
  }

  /** Reads fast-path lines into rows again. */
  #read(lines: readonly Line[]): void {
    const head = this.#head;
    for (const line of lines) {
      const kind = head.read(line.bytes, line.from, line.to);
      const path = this.#paths.known(line, head);
      if (path === undefined) throw readDifferently();
      const rows = this.#rowsOf(path);
      // Without the lines before them, updates may have more shapes than a table's rows can hold.
      if (!insertInto(rows, kind, line, head.body)) this.#refused = true;
    }
  }
}
