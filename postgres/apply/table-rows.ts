/**
 * The changes of one table in one batch, as bytes: rows as COPY text behind each other, and numbers that say where. Folded while
 * they come, by a hash table over the bytes of the keys: what is left is at most one delete, one update or one insert of each row.
 * Same meaning as fold.ts, which works on values; what that would not fold, and whatever is unusual, is refused here line by line,
 * and goes the exact way.
 */
import { isUtf8 } from 'node:buffer';
import { GROWTH_BYTES, matches, SKIPPED, ValueWriter, type ValueKind } from '../wal2json/value.ts';

/** What the plugin writes for the table's columns, in their order. */
export interface RowLayout {
  /** `{"name":"id","value":` for each column. */
  readonly heads: readonly Buffer[];
  readonly names: readonly string[];
  readonly kinds: readonly ValueKind[];
  /** Whether an update may leave the column out: it can be stored out of line. */
  readonly varying: readonly boolean[];
  /** Places of the key's columns, ascending; empty for a table of which only inserts are taken. */
  readonly key: readonly number[];
}

export const DEAD = 0;
export const INSERT = 1;
export const UPDATE = 2;
export const DELETE = 3;
export type RowKind = typeof DEAD | typeof INSERT | typeof UPDATE | typeof DELETE;

/** Rows that bring the same columns, behind each other. */
export interface RowGroup {
  /** By column: 1 where rows bring it. */
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
/** A buffer that one batch needed is kept for the next up to this size. */
const KEPT_BYTES = 2 * 1024 * 1024;
/** Combinations of columns that the updates of one batch may bring, and those that are kept for the next. */
const MOST_GROUPS = 64;
const KEPT_DEFINITIONS = 8;
/** Up to here a loop copies faster than the runtime. */
const SHORT_BYTES = 64;
const NONE = -1;

export class TableRows {
  readonly layout: RowLayout;
  /** Records so far, folded away ones included. */
  count = 0;
  readonly groups: RowGroup[] = [];
  /** Keys of all records: columns behind each other, each followed by a tab, the last by a newline. */
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
  /** Whether any record is, folded away ones included. */
  anyDoubtful = false;
  /** Whether the last update was refused because it moves its key. */
  keyMoved = false;
  #hash = new Int32Array(FIRST_ROWS);
  /** The delete that a later insert of the same key stands on. */
  #below = new Int32Array(FIRST_ROWS);
  #slots = emptySlots();
  #folding = false;
  /** Live records by kind. */
  readonly live = new Int32Array(4);
  /** Whether a record was folded away or moved: else the bytes of a shape are its rows as they are. */
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
      definitionOf(Uint8Array.from(layout.kinds, (kind) => (kind === SKIPPED ? 0 : 1))),
    );
  }

  /**
   * Takes an insert.
   * @param line bytes that hold the line; others may lie around it.
   * @param at where the list of columns begins, with the comma before it.
   * @param end behind the line's last byte.
   * @returns false, with nothing noted, for a line that is not of the layout.
   */
  insert(line: Buffer, at: number, end = line.length): boolean {
    const row = this.#row(line, at, end, true);
    if (row < 0 || !isEnd(line, row, end)) return false;
    return this.#proved(line, at, end) && this.#commit(INSERT);
  }

  /** Takes an update that keeps its key. @see insert */
  update(line: Buffer, at: number, end = line.length): boolean {
    this.keyMoved = false;
    if (this.layout.key.length === 0) return false;
    const row = this.#row(line, at, end, false);
    if (row < 0) return false;
    const last = this.#identity(line, row, end, true);
    if (last < 0 || !isEnd(line, last, end)) return false;
    return this.#proved(line, at, end) && this.#commit(UPDATE);
  }

  /** Takes a delete. @see insert */
  delete(line: Buffer, at: number, end = line.length): boolean {
    if (this.layout.key.length === 0) return false;
    this.#value.beyondAscii = false;
    this.#value.doubtful = false;
    const last = this.#identity(line, at, end, false);
    if (last < 0 || !isEnd(line, last, end)) return false;
    return this.#proved(line, at, end) && this.#commit(DELETE);
  }

  /** What is left of the doubtful records, with their keys: one text for each column, in the order of the layout. */
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

  /** Writes values without escapes in place of a record's nulls. @param values by place; null leaves the field as it is. */
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

  /** Forgets all records and keeps the buffers. */
  reset(): void {
    // One large batch must not make every small one after it clear its table.
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
    if (this.groups.length > KEPT_DEFINITIONS) this.groups.length = 1;
    this.#last = 0;
    for (const group of this.groups) {
      group.used = 0;
      if (group.bytes.length > KEPT_BYTES) group.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    }
    if (this.keys.length > KEPT_BYTES) this.keys = Buffer.allocUnsafeSlow(FIRST_BYTES);
    if (this.#scratch.length > KEPT_BYTES) this.#scratch = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  // The record at work: where its bytes were written, before it is committed.
  #definitionNow = 0;
  #rowFrom = 0;
  #rowTo = 0;
  #keyStart = 0;
  #keyEnd = 0;

  /** Writes the row and its key. @returns the place behind the list, or -1. */
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
    this.#definitionNow = this.#last;
    this.#rowFrom = from;
    this.#rowTo = value.to;
    if (!same && !this.#move(out, from, value.to)) return NONE;
    return value.at;
  }

  /** The row brings other columns than the last one did: it belongs behind the rows of its own shape. */
  #move(bytes: Buffer, from: number, to: number): boolean {
    const at = this.#definitionAt(this.#present);
    if (at < 0) return false;
    const group = this.#group(at);
    const room = roomFor(group, to - from);
    bytes.copy(room, group.used, from, to);
    this.#definitionNow = at;
    this.#last = at;
    this.#rowFrom = group.used;
    this.#rowTo = group.used + to - from;
    return true;
  }

  /** The shape with just these columns; -1 when there are too many: each has a buffer and a statement of its own. */
  #definitionAt(present: Uint8Array): number {
    const at = this.groups.findIndex((group) =>
      group.present.every((one, i) => one === present[i]),
    );
    if (at >= 0 || this.groups.length >= MOST_GROUPS) return at;
    return this.groups.push(definitionOf(present.slice())) - 1;
  }

  /**
   * Reads the old key. @param compare with the row's own, else it is written. @returns the place behind the list, or -1; also when
   * an update moves its key.
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
        // Part of the identity and not of the key: the whole old row, most likely. What its nulls were does not matter.
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

  #proved(line: Buffer, at: number, end: number): boolean {
    return !this.#value.beyondAscii || isUtf8(line.subarray(at, end));
  }

  /** Notes the record at work. @returns false, with nothing noted, when no correct sequence of changes holds it. */
  #commit(kind: RowKind): boolean {
    if (this.broken) return false;
    if (this.count === this.kind.length) this.#grow();
    const row = this.count;
    this.kind[row] = kind;
    this.group[row] = this.#definitionNow;
    this.from[row] = this.#rowFrom;
    this.to[row] = this.#rowTo;
    this.keyFrom[row] = this.#keyStart;
    this.keyTo[row] = this.#keyEnd;
    this.#hash[row] = hashOf(this.keys, this.#keyStart, this.#keyEnd);
    this.#below[row] = NONE;
    const { doubtful } = this.#value;
    this.doubtful[row] = doubtful ? 1 : 0;
    this.anyDoubtful ||= doubtful;
    // Inserts alone need no table: a key that comes twice is refused by the target.
    if (!this.#folding && kind !== INSERT && !this.#index()) return false;
    if (this.#folding && !this.#fold(row, kind)) return false;
    if (!this.#folding) this.live[INSERT] = (this.live[INSERT] ?? 0) + 1;
    this.count += 1;
    this.keysUsed = this.#keyEnd;
    if (kind !== DELETE) this.#group(this.group[row] ?? 0).used = this.to[row] ?? 0;
    return true;
  }

  /** Builds the table over the inserts so far. */
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

  /** A key was inserted twice: nothing here can be believed any more, and nothing is taken until {@link reset}. */
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
        // The delete below stays what became of the row that was there before.
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

  /** Columns that the later row does not bring keep what the earlier one brought. */
  #merge(before: number, row: number): boolean {
    const old = this.#group(this.group[before] ?? 0);
    const own = this.#group(this.group[row] ?? 0);
    if (old.present.every((one, column) => one === 0 || own.present[column] === 1)) return true;
    const union = own.present.map((one, column) => one | (old.present[column] ?? 0));
    const at = this.#definitionAt(union);
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

  /** The slot that holds the record's key, or the free one where it belongs. */
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

  /** At most half full. */
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
    if (group === undefined) throw new RangeError('no such shape');
    return group;
  }

  #roomForKey(bytes: number): void {
    if (this.keysUsed + bytes <= this.keys.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.keys.length * 2, this.keysUsed + bytes));
    // The key at work may have begun behind what is used.
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

function definitionOf(present: Uint8Array): RowGroup {
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

/** Bytes of one buffer behind those of another. @returns the place behind them. */
function append(to: Buffer, at: number, bytes: Buffer, from: number, end: number): number {
  // Most keys are a few bytes, and a call into the runtime costs more than those.
  if (end - from > SHORT_BYTES) return at + bytes.copy(to, at, from, end);
  let place = at;
  for (let i = from; i < end; i += 1) to[place++] = bytes[i] ?? 0;
  return place;
}

function isNull(bytes: Buffer, from: number, to: number): boolean {
  return to - from === 2 && bytes[from] === BACKSLASH && bytes[from + 1] === CAPITAL_N;
}

/** The object's end, and the line's: also what was read beyond that ends nowhere else. */
function isEnd(line: Buffer, at: number, end: number): boolean {
  return line[at] === CLOSE_BRACE && at + 1 === end;
}

/** Tabs and newlines inside of a value are escaped: the first one is the field's end. */
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
