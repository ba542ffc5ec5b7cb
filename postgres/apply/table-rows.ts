/**
 * The changes of one table in one batch, as bytes: rows in COPY text format one after another, plus arrays of offsets. They are
 * folded as they arrive, by a hash table over the key bytes: at most one delete, one update and one insert per key remain. The
 * semantics are those of fold.ts, which works on values. Lines that fold.ts would not fold, and anything unusual, are refused
 * here one at a time and applied change by change.
 */
import { isUtf8 } from 'node:buffer';
import { GROWTH_BYTES, matches, SKIPPED, ValueWriter, type ValueKind } from '../wal2json/value.ts';

/** The table's columns as the plugin writes them, in their order. */
export interface RowLayout {
  /** `{"name":"id","value":` for each column. */
  readonly heads: readonly Buffer[];
  readonly names: readonly string[];
  readonly kinds: readonly ValueKind[];
  /** Whether an update may omit the column: it can be stored out of line. */
  readonly varying: readonly boolean[];
  /** Indexes of the key columns, ascending; empty for a table that accepts inserts only. */
  readonly key: readonly number[];
}

export const DEAD = 0;
export const INSERT = 1;
export const UPDATE = 2;
export const DELETE = 3;
export type RowKind = typeof DEAD | typeof INSERT | typeof UPDATE | typeof DELETE;

/** Rows that carry the same columns, one after another. */
export interface RowGroup {
  /** By column: 1 where rows carry it. */
  readonly present: Uint8Array;
  bytes: Buffer;
  used: number;
}

const TAB = 0x09;
const NEWLINE = 0x0a;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const CLOSE_BRACE = 0x7d;
const CAPITAL_N = 0x4e;
const COLUMNS = Buffer.from(',"columns":[');
const IDENTITY = Buffer.from(',"identity":[');

const FIRST_ROWS = 64;
const FIRST_BYTES = 4096;
/** A buffer is kept for the next batch up to this size. */
const KEPT_BYTES = 2 * 1024 * 1024;
/** Maximum combinations of columns in the updates of one batch, and how many are kept for the next. */
const MOST_GROUPS = 64;
const KEPT_GROUPS = 8;
/** Up to this size a loop copies faster than the runtime. */
const SHORT_BYTES = 64;
const NONE = -1;

export class TableRows {
  readonly layout: RowLayout;
  /** Number of records so far, including those folded away. */
  count = 0;
  readonly groups: RowGroup[] = [];
  /** Keys of all records: columns one after another, each followed by a tab, the last by a newline. */
  keys = Buffer.allocUnsafeSlow(FIRST_BYTES);
  keysUsed = 0;
  kind = new Uint8Array(FIRST_ROWS);
  group = new Uint16Array(FIRST_ROWS);
  from = new Int32Array(FIRST_ROWS);
  to = new Int32Array(FIRST_ROWS);
  keyFrom = new Int32Array(FIRST_ROWS);
  keyTo = new Int32Array(FIRST_ROWS);
  /** 1 where a null of the record may be NaN or an infinity. */
  doubtful = new Uint8Array(FIRST_ROWS);
  /** Whether any record is doubtful, including those folded away. */
  anyDoubtful = false;
  /** Whether the last update was refused because it changes its key. */
  keyMoved = false;
  #hash = new Int32Array(FIRST_ROWS);
  /** By insert record: the earlier delete of the same key. */
  #below = new Int32Array(FIRST_ROWS);
  #slots = emptySlots();
  #folding = false;
  /** Live records by kind. */
  readonly live = new Int32Array(4);
  /** Whether a record was folded away or moved. Otherwise a group's bytes are exactly its rows. */
  mixed = false;
  readonly #value = new ValueWriter();
  readonly #present: Uint8Array;
  #scratch = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #last = 0;

  constructor(layout: RowLayout) {
    this.layout = layout;
    const columns = layout.heads.length;
    this.#present = new Uint8Array(columns);
    this.groups.push(
      emptyGroup(Uint8Array.from(layout.kinds, (kind) => (kind === SKIPPED ? 0 : 1))),
    );
  }

  /**
   * Adds an insert.
   * @param line buffer that holds the line, possibly among others.
   * @param at start of the list of columns, including the comma before it.
   * @param end offset after the line's last byte.
   * @returns false, with nothing recorded, for a line that does not match the layout.
   */
  insert(line: Buffer, at: number, end = line.length): boolean {
    const row = this.#row(line, at, end, true);
    if (row < 0 || !isEnd(line, row, end)) return false;
    return this.#isValidText(line, at, end) && this.#commit(INSERT);
  }

  /** Adds an update that keeps its key. @see insert */
  update(line: Buffer, at: number, end = line.length): boolean {
    this.keyMoved = false;
    if (this.layout.key.length === 0) return false;
    const row = this.#row(line, at, end, false);
    if (row < 0) return false;
    const last = this.#identity(line, row, end, true);
    if (last < 0 || !isEnd(line, last, end)) return false;
    return this.#isValidText(line, at, end) && this.#commit(UPDATE);
  }

  /** Adds a delete. @see insert */
  delete(line: Buffer, at: number, end = line.length): boolean {
    if (this.layout.key.length === 0) return false;
    this.#value.beyondAscii = false;
    this.#value.doubtful = false;
    const last = this.#identity(line, at, end, false);
    if (last < 0 || !isEnd(line, last, end)) return false;
    return this.#isValidText(line, at, end) && this.#commit(DELETE);
  }

  /** The remaining doubtful records with their keys: one text per column, in the order of the layout. */
  doubts(): { readonly row: number; readonly key: readonly string[] }[] {
    const doubts: { row: number; key: string[] }[] = [];
    if (!this.anyDoubtful) return doubts;
    for (let row = 0; row < this.count; row += 1) {
      if (this.doubtful[row] !== 1 || this.kind[row] === DEAD) continue;
      const key = fieldsOf(this.keys.toString('utf8', this.keyFrom[row], this.keyTo[row]));
      doubts.push({ row, key });
    }
    return doubts;
  }

  /** Replaces a record's nulls with values that need no escapes. @param values by column; null keeps the field. */
  fill(row: number, values: readonly (string | null)[]): void {
    const group = this.#group(this.group[row] ?? 0);
    const from = this.from[row] ?? 0;
    const bytes = group.bytes.subarray(from, this.to[row]);
    const most = values.reduce((sum, value) => sum + (value?.length ?? 0), bytes.length);
    const out = roomFor(group, most);
    let to = group.used;
    let at = 0;
    for (let column = 0; column < group.present.length; column += 1) {
      if (group.present[column] === 0) continue;
      const end = fieldEnd(bytes, at);
      const value = isNull(bytes, at, end) ? (values[column] ?? null) : null;
      to += value === null ? bytes.copy(out, to, at, end) : out.write(value, to, 'latin1');
      out[to++] = TAB;
      at = end + 1;
    }
    out[to - 1] = NEWLINE;
    this.from[row] = group.used;
    this.to[row] = to;
    group.used = to;
    this.mixed = true;
  }

  /** Discards all records and keeps the buffers. */
  reset(): void {
    // After one large batch, small ones must not have to clear its large hash table.
    if (this.#slots.length > FIRST_ROWS * 4 && this.#slots.length > this.count * 64)
      this.#slots = emptySlots();
    else if (this.#folding) this.#slots.fill(NONE);
    this.broken = false;
    this.count = 0;
    this.keysUsed = 0;
    this.#folding = false;
    this.mixed = false;
    this.anyDoubtful = false;
    this.live.fill(0);
    if (this.groups.length > KEPT_GROUPS) this.groups.length = 1;
    this.#last = 0;
    for (const group of this.groups) {
      group.used = 0;
      if (group.bytes.length > KEPT_BYTES) group.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    }
    if (this.keys.length > KEPT_BYTES) this.keys = Buffer.allocUnsafeSlow(FIRST_BYTES);
    if (this.#scratch.length > KEPT_BYTES) this.#scratch = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  // The current record: where its bytes were written, before it is committed.
  #currentGroup = 0;
  #rowFrom = 0;
  #rowTo = 0;
  #keyStart = 0;
  #keyEnd = 0;

  /** Writes the row and its key. @returns the offset after the list, or -1. */
  #row(line: Buffer, at: number, end: number, whole: boolean): number {
    if (!matches(line, at, COLUMNS)) return NONE;
    const { heads, kinds, varying, key } = this.layout;
    const value = this.#value;
    const present = this.#present;
    value.beyondAscii = false;
    value.doubtful = false;
    const columns = heads.length;
    const group = this.#group(this.#last);
    const out = roomFor(group, end - at + columns * GROWTH_BYTES);
    const from = group.used;
    let same = true;
    this.#keyStart = this.keysUsed;
    let keyTo = this.keysUsed;
    let keyAt = 0;
    let more = true;
    value.at = at + COLUMNS.length;
    value.to = from;
    for (let column = 0; column < columns; column += 1) {
      const head = heads[column];
      const kind = kinds[column] ?? 0;
      const isKey = key[keyAt] === column;
      if (!more || head === undefined || !matches(line, value.at, head)) {
        // Absent from the line.
        if (isKey || (kind !== SKIPPED && (whole || varying[column] !== true))) return NONE;
        present[column] = 0;
        if (group.present[column] !== 0) same = false;
        continue;
      }
      value.at += head.length;
      const cell = value.to;
      if (!value.write(line, out, kind)) return NONE;
      if (kind === SKIPPED) {
        value.to = cell;
        present[column] = 0;
      } else {
        present[column] = 1;
        if (group.present[column] !== 1) same = false;
        if (isKey) {
          if (isNull(out, cell, value.to)) return NONE;
          keyAt += 1;
          this.#roomForKey(keyTo - this.keysUsed + value.to - cell + 1);
          keyTo = append(this.keys, keyTo, out, cell, value.to);
          this.keys[keyTo++] = TAB;
        }
        out[value.to++] = TAB;
      }
      if (line[value.at] !== CLOSE_BRACE) return NONE;
      const next = line[value.at + 1];
      value.at += 2;
      if (next === CLOSE_BRACKET) more = false;
      else if (next !== COMMA) return NONE;
    }
    if (more || value.to === from) return NONE;
    out[value.to - 1] = NEWLINE;
    if (keyTo > this.#keyStart) this.keys[keyTo - 1] = NEWLINE;
    this.#keyEnd = keyTo;
    this.#currentGroup = this.#last;
    this.#rowFrom = from;
    this.#rowTo = value.to;
    if (!same && !this.#move(out, from, value.to)) return NONE;
    return value.at;
  }

  /** The row carries other columns than the last one: moves it to the end of its own group. */
  #move(bytes: Buffer, from: number, to: number): boolean {
    const at = this.#groupWith(this.#present);
    if (at < 0) return false;
    const group = this.#group(at);
    const room = roomFor(group, to - from);
    bytes.copy(room, group.used, from, to);
    this.#currentGroup = at;
    this.#last = at;
    this.#rowFrom = group.used;
    this.#rowTo = group.used + to - from;
    return true;
  }

  /** Index of the group with exactly these columns; -1 when there are too many, as each has its own buffer and statement. */
  #groupWith(present: Uint8Array): number {
    const at = this.groups.findIndex((group) =>
      group.present.every((one, i) => one === present[i]),
    );
    if (at >= 0 || this.groups.length >= MOST_GROUPS) return at;
    return this.groups.push(emptyGroup(present.slice())) - 1;
  }

  /**
   * Reads the old key.
   * @param compare with the row's own key; otherwise it is written.
   * @returns the offset after the list, or -1, also when an update changes its key.
   */
  #identity(line: Buffer, at: number, end: number, compare: boolean): number {
    if (!matches(line, at, IDENTITY)) return NONE;
    const { heads, kinds, key } = this.layout;
    const value = this.#value;
    const room = end - at + heads.length * GROWTH_BYTES;
    if (compare && this.#scratch.length < room)
      this.#scratch = Buffer.allocUnsafeSlow(room + FIRST_BYTES);
    if (!compare) this.#roomForKey(room);
    const out = compare ? this.#scratch : this.keys;
    const start = compare ? 0 : this.keysUsed;
    let keyAt = 0;
    let more = true;
    value.at = at + IDENTITY.length;
    value.to = start;
    for (let column = 0; column < heads.length && more; column += 1) {
      const head = heads[column];
      if (head === undefined || !matches(line, value.at, head)) continue;
      value.at += head.length;
      const cell = value.to;
      const kind = kinds[column] ?? 0;
      if (key[keyAt] === column) {
        if (!value.write(line, out, kind) || isNull(out, cell, value.to)) return NONE;
        keyAt += 1;
        out[value.to++] = TAB;
      } else {
        // In the identity but not in the key: usually because the whole old row is sent. Its nulls do not matter.
        const { doubtful } = value;
        if (!value.write(line, out, kind)) return NONE;
        value.doubtful = doubtful;
        value.to = cell;
      }
      if (line[value.at] !== CLOSE_BRACE) return NONE;
      const next = line[value.at + 1];
      value.at += 2;
      if (next === CLOSE_BRACKET) more = false;
      else if (next !== COMMA) return NONE;
    }
    if (more || keyAt !== key.length) return NONE;
    out[value.to - 1] = NEWLINE;
    if (compare) {
      this.keyMoved = !this.#isOwnKey(value.to);
      return this.keyMoved ? NONE : value.at;
    }
    this.#keyStart = start;
    this.#keyEnd = value.to;
    return value.at;
  }

  #isOwnKey(length: number): boolean {
    if (length !== this.#keyEnd - this.#keyStart) return false;
    for (let i = 0; i < length; i += 1) {
      if (this.#scratch[i] !== this.keys[this.#keyStart + i]) return false;
    }
    return true;
  }

  #isValidText(line: Buffer, at: number, end: number): boolean {
    return !this.#value.beyondAscii || isUtf8(line.subarray(at, end));
  }

  /** Records the current record. @returns false, with nothing recorded, when no correct sequence of changes contains it. */
  #commit(kind: RowKind): boolean {
    if (this.broken) return false;
    if (this.count === this.kind.length) this.#grow();
    const row = this.count;
    this.kind[row] = kind;
    this.group[row] = this.#currentGroup;
    this.from[row] = this.#rowFrom;
    this.to[row] = this.#rowTo;
    this.keyFrom[row] = this.#keyStart;
    this.keyTo[row] = this.#keyEnd;
    this.#hash[row] = hashOf(this.keys, this.#keyStart, this.#keyEnd);
    this.#below[row] = NONE;
    const { doubtful } = this.#value;
    this.doubtful[row] = doubtful ? 1 : 0;
    this.anyDoubtful ||= doubtful;
    // Inserts alone need no hash table: the target refuses a duplicate key.
    if (!this.#folding && kind !== INSERT && !this.#index()) return false;
    if (this.#folding && !this.#fold(row, kind)) return false;
    if (!this.#folding) this.live[INSERT] = (this.live[INSERT] ?? 0) + 1;
    this.count += 1;
    this.keysUsed = this.#keyEnd;
    if (kind !== DELETE) this.#group(this.group[row] ?? 0).used = this.to[row] ?? 0;
    return true;
  }

  /** Builds the hash table over the inserts so far. */
  #index(): boolean {
    this.#folding = true;
    this.#resize(this.count + 1);
    for (let row = 0; row < this.count; row += 1) {
      const slot = this.#find(row);
      if (this.#slots[slot] !== NONE) return this.#abandon();
      this.#slots[slot] = row;
    }
    return true;
  }

  /** A key was inserted twice: the records are unreliable, and none is accepted until {@link reset}. */
  broken = false;

  #abandon(): boolean {
    this.broken = true;
    return false;
  }

  #fold(row: number, kind: RowKind): boolean {
    this.#resize(row + 1);
    const slot = this.#find(row);
    const before = this.#slots[slot] ?? NONE;
    if (before === NONE) {
      this.#slots[slot] = row;
      this.#count(kind, 1);
      return true;
    }
    const was = this.kind[before] ?? DEAD;
    switch (kind) {
      case UPDATE:
        if (was !== UPDATE && was !== INSERT) return false;
        if (!this.#merge(before, row)) return false;
        this.doubtful[row] = (this.doubtful[row] ?? 0) | (this.doubtful[before] ?? 0);
        this.kind[row] = was;
        this.#below[row] = this.#below[before] ?? NONE;
        this.#drop(before);
        break;
      case DELETE:
        if (was === UPDATE) {
          this.#drop(before);
          this.#count(UPDATE, -1);
          this.#count(DELETE, 1);
          break;
        }
        if (was !== INSERT) return false;
        this.#drop(before);
        this.#count(INSERT, -1);
        this.kind[row] = DEAD;
        this.mixed = true;
        // The earlier delete remains the effect on the row that existed before the batch.
        this.#slots[slot] =
          (this.#below[before] ?? NONE) === NONE ? row : (this.#below[before] ?? NONE);
        return true;
      case INSERT:
        if (was !== DELETE && was !== DEAD) return false;
        if (was === DELETE) this.#below[row] = before;
        this.#count(INSERT, 1);
        break;
      case DEAD:
        return false;
    }
    this.#slots[slot] = row;
    return true;
  }

  #drop(row: number): void {
    this.kind[row] = DEAD;
    this.mixed = true;
  }

  #count(kind: RowKind, by: number): void {
    this.live[kind] = (this.live[kind] ?? 0) + by;
  }

  /** Merges two rows: columns missing from the later row keep the value of the earlier one. */
  #merge(before: number, row: number): boolean {
    const old = this.#group(this.group[before] ?? 0);
    const own = this.#group(this.group[row] ?? 0);
    if (old.present.every((one, column) => one === 0 || own.present[column] === 1)) return true;
    const union = own.present.map((one, column) => one | (old.present[column] ?? 0));
    const at = this.#groupWith(union);
    if (at < 0) return false;
    const into = this.#group(at);
    const [oldFrom, oldTo] = [this.from[before] ?? 0, this.to[before] ?? 0];
    const [ownFrom, ownTo] = [this.from[row] ?? 0, this.to[row] ?? 0];
    const oldBytes = old.bytes.subarray(oldFrom, oldTo);
    const ownBytes = own.bytes.subarray(ownFrom, ownTo);
    const out = roomFor(into, oldBytes.length + ownBytes.length);
    let to = into.used;
    let oldAt = 0;
    let ownAt = 0;
    for (let column = 0; column < union.length; column += 1) {
      if (union[column] === 0) continue;
      const oldEnd = old.present[column] === 1 ? fieldEnd(oldBytes, oldAt) : NONE;
      const ownEnd = own.present[column] === 1 ? fieldEnd(ownBytes, ownAt) : NONE;
      if (ownEnd !== NONE) to += ownBytes.copy(out, to, ownAt, ownEnd);
      else to += oldBytes.copy(out, to, oldAt, oldEnd);
      out[to++] = TAB;
      if (oldEnd !== NONE) oldAt = oldEnd + 1;
      if (ownEnd !== NONE) ownAt = ownEnd + 1;
    }
    out[to - 1] = NEWLINE;
    this.group[row] = at;
    this.from[row] = into.used;
    this.to[row] = to;
    this.mixed = true;
    return true;
  }

  /** The slot that holds the record's key, or the free one for it. */
  #find(row: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const hash = this.#hash[row] ?? 0;
    const from = this.keyFrom[row] ?? 0;
    const length = (this.keyTo[row] ?? 0) - from;
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (;;) {
      const other = slots[slot] ?? NONE;
      if (other === NONE) return slot;
      if (this.#hash[other] === hash && this.#sameKey(other, from, length)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #sameKey(other: number, from: number, length: number): boolean {
    const start = this.keyFrom[other] ?? 0;
    if ((this.keyTo[other] ?? 0) - start !== length) return false;
    const { keys } = this;
    for (let i = 0; i < length; i += 1) if (keys[start + i] !== keys[from + i]) return false;
    return true;
  }

  /** Keeps the hash table at most half full. */
  #resize(records: number): void {
    if (records * 2 <= this.#slots.length) return;
    const old = this.#slots;
    let size = old.length;
    while (size < records * 4) size *= 2;
    this.#slots = new Int32Array(size).fill(NONE);
    for (const row of old) if (row !== NONE) this.#slots[this.#find(row)] = row;
  }

  #group(at: number): RowGroup {
    const group = this.groups[at];
    if (group === undefined) throw new RangeError('no such group');
    return group;
  }

  #roomForKey(bytes: number): void {
    if (this.keysUsed + bytes <= this.keys.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.keys.length * 2, this.keysUsed + bytes));
    // Copies everything: the current key may start after `keysUsed`.
    this.keys.copy(grown);
    this.keys = grown;
  }

  #grow(): void {
    const size = this.kind.length * 2;
    this.kind = enlarged(this.kind, new Uint8Array(size));
    this.group = enlarged(this.group, new Uint16Array(size));
    this.from = enlarged(this.from, new Int32Array(size));
    this.to = enlarged(this.to, new Int32Array(size));
    this.keyFrom = enlarged(this.keyFrom, new Int32Array(size));
    this.keyTo = enlarged(this.keyTo, new Int32Array(size));
    this.doubtful = enlarged(this.doubtful, new Uint8Array(size));
    this.#hash = enlarged(this.#hash, new Int32Array(size));
    this.#below = enlarged(this.#below, new Int32Array(size));
  }
}

function emptySlots(): Int32Array<ArrayBuffer> {
  return new Int32Array(FIRST_ROWS * 4).fill(NONE);
}

function emptyGroup(present: Uint8Array): RowGroup {
  return { present, bytes: Buffer.allocUnsafeSlow(FIRST_BYTES), used: 0 };
}

function roomFor(group: RowGroup, bytes: number): Buffer {
  if (group.used + bytes > group.bytes.length) {
    const grown = Buffer.allocUnsafeSlow(Math.max(group.bytes.length * 2, group.used + bytes));
    group.bytes.copy(grown, 0, 0, group.used);
    group.bytes = grown;
  }
  return group.bytes;
}

function enlarged<T extends Uint8Array | Uint16Array | Int32Array>(old: T, fresh: T): T {
  fresh.set(old);
  return fresh;
}

/** Appends bytes of one buffer to another. @returns the offset after them. */
function append(to: Buffer, at: number, bytes: Buffer, from: number, end: number): number {
  // Most keys are a few bytes; a call into the runtime costs more than copying them.
  if (end - from > SHORT_BYTES) return at + bytes.copy(to, at, from, end);
  let place = at;
  for (let i = from; i < end; i += 1) to[place++] = bytes[i] ?? 0;
  return place;
}

function isNull(bytes: Buffer, from: number, to: number): boolean {
  return to - from === 2 && bytes[from] === BACKSLASH && bytes[from + 1] === CAPITAL_N;
}

/** Whether the object and the line end here. A read that ran past the line ends elsewhere. */
function isEnd(line: Buffer, at: number, end: number): boolean {
  return line[at] === CLOSE_BRACE && at + 1 === end;
}

/** Tabs and newlines inside a value are escaped, so the first one ends the field. */
function fieldEnd(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] !== TAB && bytes[at] !== NEWLINE) at += 1;
  return at;
}

/** FNV-1a over the bytes, in 32 bits. */
function hashOf(bytes: Buffer, from: number, to: number): number {
  let hash = 0x811c9dc5 | 0;
  for (let at = from; at < to; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return hash;
}

/** The fields of a line of COPY text without nulls. */
function fieldsOf(line: string): string[] {
  return line
    .slice(0, -1)
    .split('\t')
    .map((field) => field.replaceAll(/\\(.)/g, (_, letter: string) => UNESCAPED[letter] ?? letter));
}

const UNESCAPED: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };
