/**
 * Collects the lines of the stream into batches. wal2json sends a transaction after its commit, complete and in commit order.
 * Complete transactions are collected until a batch is full or the target is free. A transaction that is larger than a batch is
 * split into several, so that memory stays constant; only the last one has its commit. Transactions before it are committed
 * separately, so that only the huge one stays open.
 *
 * A line takes its table's fast path into rows, or it is decoded and handled at the commit of its transaction. The lines of the
 * fast path are kept: they are read again if a batch has to end before the last one, or if the target refuses the rows.
 */
import { isUtf8 } from 'node:buffer';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Change, PlannedRelation } from '../apply/change.ts';
import type { FoldedTable } from '../apply/folded-flight.ts';
import type { TableRows } from '../apply/table-rows.ts';
import type { TableName } from '../catalog/selection.ts';
import { mayHoldExtreme } from '../catalog/version-form.ts';
import { LineFailure, textOfLine } from '../replication/line.ts';
import { LineStore, type Line } from '../replication/line-store.ts';
import { decodeMessage } from '../wal2json/decode.ts';
import { ByName, HeadReader, type LineKind } from '../wal2json/head.ts';
import type { Commit, RowMessage, TruncateMessage } from '../wal2json/message.ts';
import { Arriving, type Open } from './arriving.ts';
import type { Batch, BatchLimits } from '../apply/gathered-batch.ts';
import type { Doubt } from '../drift/doubt.ts';
import { changesOf } from '../drift/mapped-change.ts';
import type { TableMappings, Unsettled } from '../drift/table-mapping.ts';
import { TablePath } from './path.ts';
import type { Why } from './ways.ts';
import type { LastCommit } from '../store/confirmed-position.ts';

/** Batches for which a table stays on the exact path after the target refused its rows: each refusal means a second apply. */
const AFTER_REFUSAL = 20;

/** Changes in one part of a huge transaction: with small rows, larger parts need more memory but are not faster. */
const PIECE_CHANGES = 8_000;

export interface GatheringParts {
  readonly mappings: TableMappings;
  /** Position of the latest exported snapshot: commits at or after it are in no copy; null without a copy. */
  readonly newest: Lsn | null;
  /** Start of the stream; anything before it that the source delivers is dropped. */
  readonly start: Lsn;
  /** Whether the plugin sends numbers as text; if not, a null may be a non-finite number. */
  readonly numericAsText: boolean;
  readonly limits: BatchLimits;
  /** LSN and last commit to store with all complete transactions. */
  readonly position: () => { readonly end: Lsn; readonly commit: LastCommit | null };
  /** Finds out what an unknown table is and sets its mapping, or throws. */
  readonly settle: (table: Unsettled) => Promise<void>;
  /** Gets every change; null when every change carries its table's right name. */
  readonly doubt: Pick<Doubt, 'met'> | null;
  /** Called for every TRUNCATE, with its transaction. */
  readonly emptied: (table: TableName, xid: number) => void;
  /** Called with the reason when a table's change leaves the fast path. */
  readonly left?: (table: TableName, why: Why) => void;
}

/** Fast-path lines before `to` belong to this transaction or an earlier one. */
interface Mark {
  readonly xid: number;
  readonly lsn: Lsn;
  readonly to: number;
}

export class Gathering {
  /** Complete batches, in order, not yet passed to the writer; more than one only around a huge transaction. */
  readonly sealed: Batch[] = [];
  #parts: GatheringParts;
  readonly #paths = new ByName<TablePath>();
  readonly #head = new HeadReader();
  readonly #store = new LineStore();
  #serial = 0;
  /** Grows with every transaction, and with every part of a huge one. */
  #part = 0;
  /** Grows with every batch that does not begin with changes of an open transaction. */
  #batch = 1;
  #open: Arriving | null = null;
  // The collected changes: of complete transactions only, except for rows and lines.
  #lines: Line[] = [];
  #marks: Mark[] = [];
  #used: TablePath[] = [];
  #changes: Change[] = [];
  #relations = new Set<PlannedRelation>();
  #xids = new Set<number>();
  #size = 0;
  #bytes = 0;
  #transactions = 0;
  #firstAt: number | null = null;
  #committedAt: string | null = null;
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
    return this.#size === 0;
  }

  /** Whether nothing must happen before a position is stored, not even a visibility check of a transaction. */
  get untouched(): boolean {
    return this.empty && this.#xids.size === 0;
  }

  get full(): boolean {
    const { changes, bytes, tables = Infinity } = this.#parts.limits;
    // Excluded transactions count, too: if there were no others, no position would be stored and their ids would pile up.
    if (this.#relations.size >= tables || this.#xids.size >= changes) return true;
    const open = this.#open;
    if (open === null) return this.#size >= changes || this.#bytes >= bytes;
    const last = open.messages.at(-1);
    // The tables of one TRUNCATE must stay together: with foreign keys between them, PostgreSQL allows nothing else.
    if (last?.action === 'T') return false;
    // Complete transactions wait for the commit of a small one: a cut before it would mean reading all lines again.
    const rows = open.rows + open.messages.length;
    return rows >= Math.min(changes, PIECE_CHANGES) || open.bytes >= bytes;
  }

  /** Commit time of the latest complete transaction. */
  get committedAt(): string | null {
    return this.#committedAt;
  }

  /** Milliseconds until the age limit; 0 when it is reached, null while there is no change. */
  dueIn(now: number): number | null {
    return this.#firstAt === null
      ? null
      : Math.max(0, this.#firstAt + this.#parts.limits.age - now);
  }

  begin(xid: number, lsn: Lsn): void {
    if (this.#open) throw malformed('a transaction inside another', lsn);
    const { start, newest } = this.#parts;
    this.#serial += 1;
    this.#part += 1;
    const known = compareLsn(lsn, start) < 0;
    const mayBeCopied = newest !== null && compareLsn(lsn, newest) < 0;
    const beginning = { xid, lsn, serial: this.#serial, known, mayBeCopied };
    this.#open = new Arriving(beginning, this.#lines.length);
  }

  /**
   * Takes a change on the fast path, or an excluded one.
   * @param head the parsed head of the line.
   * @returns false for a line that the caller must decode, for {@link exact}.
   * @throws MigrationError `StreamMalformed`.
   */
  row(kind: LineKind, line: Line, head: HeadReader): boolean {
    const open = this.#open;
    if (open?.xid !== head.xid) throw outside(open?.lsn ?? null);
    if (open.known) return true;
    // The head does not have the LSN of the change.
    if (this.#parts.doubt) return false;
    const path = this.#pathOf(line, head);
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
    if (line.length > messageBytes) return this.#left(path, 'length');
    if (path.exactThrough === Infinity) return this.#left(path, 'table');
    if (path.exactThrough >= this.#batch) return false;
    if (mapping.disguised.size > 0) {
      path.exactThrough = this.#batch;
      return this.#left(path, 'values');
    }
    if (mapping.intervals.size > 0 && mayHoldExtreme(line.bytes.subarray(line.from, line.to))) {
      // The exact path finds the column.
      path.exactThrough = this.#batch;
      return this.#left(path, 'values');
    }
    const rows = this.#rowsOf(path);
    if (!insertInto(rows, kind, line, head.body)) {
      path.exactThrough = this.#batch;
      this.#refused ||= rows.broken;
      return this.#left(path, whyNot(rows, kind));
    }
    this.#store.keep(line);
    this.#lines.push(line);
    open.rows += 1;
    open.bytes += line.length;
    if (path.usedFor !== this.#part) {
      path.usedFor = this.#part;
      open.paths.push(path);
    }
    return true;
  }

  /** Reports the reason. @returns false, for {@link row}. */
  #left({ schema, table: name }: TablePath, why: Why): false {
    this.#parts.left?.({ schema, name }, why);
    return false;
  }

  /** Takes a change on the exact path. @param bytes size of its line. @throws MigrationError `StreamMalformed`. */
  exact(message: RowMessage | TruncateMessage, bytes: number): void {
    const open = this.#open;
    if (open?.xid !== message.xid) throw outside(message.lsn);
    if (open.known) return;
    const { schema, table, lsn } = message;
    const place = { lsn, xid: open.xid, commitLsn: open.lsn };
    this.#parts.doubt?.met({ schema, name: table }, place);
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
    return this.#decided(open).then((changes) => this.#close(open, changes, message, now));
  }

  /** Seals a batch of all complete transactions; changes of an open one start the next batch. */
  seal(): void {
    const open = this.#open;
    const { end, commit } = this.#parts.position();
    if (open === null || open.rows === 0) {
      const folded = this.#fold();
      this.#push(folded, this.#lines, this.#marks, { end, commit });
      this.#begin([], open !== null && open.messages.length > 0);
      if (open) open.from = 0;
      return;
    }
    const later = this.#lines.splice(open.from);
    for (const path of this.#used) path.rows?.reset();
    this.#read(this.#lines);
    this.#push(this.#fold(), this.#lines, this.#marks, { end, commit });
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
    this.#note(open, await this.#decided(open));
    this.#xids.add(open.xid);
    this.#push(this.#fold(), this.#lines, this.#marks, { end: null, commit: null });
    this.#begin([], false);
    open.first = false;
    open.from = 0;
    this.#part += 1;
  }

  #pathOf(line: Line, head: HeadReader): TablePath | null {
    const known = this.#paths.get(line.bytes, head);
    if (known !== undefined) return known;
    const bytes = line.bytes.subarray(head.nameFrom, head.nameTo);
    const name = isUtf8(bytes) ? namesOf(bytes.toString()) : null;
    if (name === null) return null;
    const { mappings, numericAsText } = this.#parts;
    const mapping = mappings.get(name.schema, name.name);
    // An unknown table is settled at the commit; later changes find its mapping.
    if (mapping === undefined) return null;
    const path = new TablePath(name.schema, name.name, mapping, numericAsText);
    this.#paths.set(name.schema, name.name, path);
    return path;
  }

  /** Decides the changes on the exact path, which are no longer pending afterwards. */
  async #decided(open: Arriving): Promise<Change[]> {
    if (open.messages.length === 0) return [];
    const { mappings, newest, settle, emptied } = this.#parts;
    const piece = { xid: open.xid, commitLsn: open.lsn, messages: open.messages };
    let changes = changesOf(piece, mappings, newest);
    while (!Array.isArray(changes)) {
      await settle(changes);
      changes = changesOf(piece, mappings, newest);
    }
    if (changes.some(({ kind }) => kind === 'truncate')) {
      for (const { action, schema, table } of open.messages) {
        if (action === 'T') emptied({ schema, name: table }, open.xid);
      }
    }
    open.messages = [];
    return changes;
  }

  #close(open: Arriving, changes: readonly Change[], message: Commit, now: number): void {
    this.#open = null;
    if (open.known) return;
    const { nextlsn, timestamp, xid } = message;
    if (!open.first) {
      this.#transactions = 1;
      this.#note(open, changes);
      this.#xids.add(xid);
      this.#committedAt = timestamp;
      const commit = { nextLsn: nextlsn, xid, committedAt: timestamp };
      this.#push(this.#fold(), this.#lines, this.#marks, { end: nextlsn, commit });
      this.#begin([], false);
      return;
    }
    // Also without a change: the source may have omitted its changes.
    this.#xids.add(xid);
    if (open.rows + changes.length === 0) return;
    this.#note(open, changes);
    this.#transactions += 1;
    this.#committedAt = timestamp ?? this.#committedAt;
    this.#firstAt ??= now;
  }

  /** Adds the changes of the open transaction to the batch. */
  #note(open: Arriving, changes: readonly Change[]): void {
    for (const change of changes) {
      this.#changes.push(change);
      if (change.kind !== 'truncate') this.#relations.add(change.relation);
      else for (const relation of change.relations) this.#relations.add(relation);
    }
    for (const { mapping } of open.paths) if (mapping) this.#relations.add(mapping.relation);
    if (open.rows > 0) {
      this.#marks.push({ xid: open.xid, lsn: open.lsn, to: this.#lines.length });
    }
    this.#size += open.rows + changes.length;
    this.#bytes += open.bytes;
    open.noted();
  }

  #rowsOf(path: TablePath): TableRows {
    if (path.rows === null) this.#used.push(path);
    return path.use();
  }

  /** Moves the rows from the tables' paths to the batch. */
  #fold(): FoldedTable[] {
    return this.#used.flatMap((path) => {
      const { rows, mapping } = path;
      path.rows = null;
      if (rows === null || mapping === null) return [];
      const refuse = (forGood: boolean): void => {
        this.#left(path, 'refused');
        path.exactThrough = forGood ? Infinity : this.#batch + AFTER_REFUSAL;
      };
      return { relation: mapping.relation, rows, refuse, release: () => path.release(rows) };
    });
  }

  #push(
    folded: readonly FoldedTable[],
    lines: readonly Line[],
    marks: readonly Mark[],
    { end, commit }: { readonly end: Lsn | null; readonly commit: LastCommit | null },
  ): void {
    const changes = this.#changes;
    const exactly = (): readonly Change[] => [...this.#decode(lines, marks), ...changes];
    const refused = this.#refused;
    if (refused) for (const { release } of folded) release();
    this.sealed.push({
      folded: refused ? [] : folded,
      changes: refused ? exactly() : changes,
      exactly,
      size: this.#size,
      relations: this.#relations,
      end,
      transactions: this.#transactions,
      committedAt: this.#committedAt,
      xids: this.#xids,
      commit,
    });
  }

  /**
   * Starts the next batch.
   * @param lines collected lines of the open transaction.
   * @param pending whether any of its changes is collected: then its tables keep their paths.
   */
  #begin(lines: Line[], pending: boolean): void {
    this.#lines = lines;
    this.#marks = [];
    this.#used = [];
    this.#changes = [];
    this.#relations = new Set();
    this.#xids = new Set();
    this.#size = 0;
    this.#bytes = 0;
    this.#transactions = 0;
    this.#firstAt = null;
    this.#committedAt = null;
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
      const path = this.#paths.get(line.bytes, head);
      if (path === undefined) throw readDifferently();
      const rows = this.#rowsOf(path);
      // Without the lines before them, updates may have more shapes than a table's rows can hold.
      if (!insertInto(rows, kind, line, head.body)) this.#refused = true;
    }
  }

  /** Decodes the same lines, change by change. */
  #decode(lines: readonly Line[], marks: readonly Mark[]): Change[] {
    const { mappings, newest } = this.#parts;
    let from = 0;
    return marks.flatMap(({ xid, lsn, to }) => {
      const messages = lines.slice(from, to).map((line) => rowOf(line));
      from = to;
      const changes = changesOf({ xid, commitLsn: lsn, messages }, mappings, newest);
      if (!Array.isArray(changes)) throw readDifferently();
      return changes;
    });
  }
}

/** Why the rows did not accept the line. */
function whyNot({ layout, keyMoved }: TableRows, kind: LineKind): Why {
  if (kind === 'insert') return kind;
  if (layout.key.length === 0) return 'table';
  if (kind === 'delete') return kind;
  return keyMoved ? 'key' : 'update';
}

/** Adds the line to the rows. @returns false for a line that must take the exact path. */
function insertInto(rows: TableRows, kind: LineKind, { bytes, to }: Line, body: number): boolean {
  switch (kind) {
    case 'insert':
      return rows.insert(bytes, body, to);
    case 'update':
      return rows.update(bytes, body, to);
    case 'delete':
      return rows.delete(bytes, body, to);
    case 'begin':
    case 'commit':
    case 'other':
      return false;
  }
}

function rowOf(line: Line): RowMessage {
  const text = textOfLine(line.own);
  const message = text instanceof LineFailure ? null : decodeMessage(text);
  if (message === null || !('identity' in message)) throw readDifferently();
  return message;
}

/** Parses schema and table as a line has them: `public","table":"orders`. */
function namesOf(text: string): TableName | null {
  const [schema, name] = text.split('","table":"').map(nameOf);
  return schema == null || name == null ? null : { schema, name };
}

function nameOf(json: string): string | null {
  try {
    const name: unknown = JSON.parse(`"${json}"`);
    return typeof name === 'string' ? name : null;
  } catch {
    return null;
  }
}

function readDifferently(): MigrationError {
  return new MigrationError(
    'Internal',
    'a line of the stream was parsed differently the second time',
  );
}

function outside(lsn: Lsn | null): MigrationError {
  return malformed('a change outside its transaction', lsn);
}

function malformed(what: string, lsn: Lsn | null): MigrationError {
  return new MigrationError(
    'StreamMalformed',
    `the stream sent ${what}${lsn === null ? '' : ` at ${lsn}`}`,
    lsn === null ? {} : { lsn },
  );
}
