/**
 * Reads lines of the stream into rows: bytes of wal2json become COPY text without a string or an object in between. Anything
 * unusual is refused one line at a time and applied change by change.
 */
import { isUtf8 } from 'node:buffer';
import { GROWTH_BYTES, matches, SKIPPED, ValueWriter } from '../wal2json/value.ts';
import { FoldedRecords, NONE } from './folded-records.ts';
import { append, isNull, NEWLINE, TAB } from './row-field.ts';
import type { RowLayout } from './row-layout.ts';
import { DELETE, FIRST_BYTES, INSERT, KEPT_BYTES, roomFor, UPDATE } from './row-records.ts';

const COMMA = 0x2c;
const CLOSE_BRACKET = 0x5d;
const CLOSE_BRACE = 0x7d;
const COLUMNS = Buffer.from(',"columns":[');
const IDENTITY = Buffer.from(',"identity":[');

export class TableRows extends FoldedRecords {
  /** Whether the last update was refused because it changes its key. */
  keyMoved = false;
  readonly #value = new ValueWriter();
  readonly #present: Uint8Array;
  #scratch = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #last = 0;

  constructor(layout: RowLayout) {
    super(layout);
    this.#present = new Uint8Array(layout.heads.length);
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
    return this.#isValidText(line, at, end) && this.commit(INSERT, this.#value.doubtful);
  }

  /** Adds an update that keeps its key. @see insert */
  update(line: Buffer, at: number, end = line.length): boolean {
    this.keyMoved = false;
    if (this.layout.key.length === 0) return false;
    const row = this.#row(line, at, end, false);
    if (row < 0) return false;
    const last = this.#identity(line, row, end, true);
    if (last < 0 || !isEnd(line, last, end)) return false;
    return this.#isValidText(line, at, end) && this.commit(UPDATE, this.#value.doubtful);
  }

  /** Adds a delete. @see insert */
  delete(line: Buffer, at: number, end = line.length): boolean {
    if (this.layout.key.length === 0) return false;
    this.#value.beyondAscii = false;
    this.#value.doubtful = false;
    const last = this.#identity(line, at, end, false);
    if (last < 0 || !isEnd(line, last, end)) return false;
    return this.#isValidText(line, at, end) && this.commit(DELETE, this.#value.doubtful);
  }

  override reset(): void {
    super.reset();
    this.#last = 0;
    if (this.#scratch.length > KEPT_BYTES) this.#scratch = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  /** Writes the row and its key. @returns the offset after the list, or -1. */
  #row(line: Buffer, at: number, end: number, whole: boolean): number {
    if (!matches(line, at, COLUMNS)) return NONE;
    const { heads, kinds, varying, key } = this.layout;
    const value = this.#value;
    const present = this.#present;
    value.beyondAscii = false;
    value.doubtful = false;
    const columns = heads.length;
    const group = this.groupAt(this.#last);
    const out = roomFor(group, end - at + columns * GROWTH_BYTES);
    const from = group.used;
    let same = true;
    this.keyStart = this.keysUsed;
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
          this.roomForKey(keyTo - this.keysUsed + value.to - cell + 1);
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
    if (keyTo > this.keyStart) this.keys[keyTo - 1] = NEWLINE;
    this.keyEnd = keyTo;
    this.currentGroup = this.#last;
    this.rowFrom = from;
    this.rowTo = value.to;
    if (!same && !this.#move(out, from, value.to)) return NONE;
    return value.at;
  }

  /** The row carries other columns than the last one: moves it to the end of its own group. */
  #move(bytes: Buffer, from: number, to: number): boolean {
    const at = this.groupWith(this.#present);
    if (at < 0) return false;
    const group = this.groupAt(at);
    const room = roomFor(group, to - from);
    bytes.copy(room, group.used, from, to);
    this.currentGroup = at;
    this.#last = at;
    this.rowFrom = group.used;
    this.rowTo = group.used + to - from;
    return true;
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
    if (!compare) this.roomForKey(room);
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
    this.keyStart = start;
    this.keyEnd = value.to;
    return value.at;
  }

  #isOwnKey(length: number): boolean {
    if (length !== this.keyEnd - this.keyStart) return false;
    for (let i = 0; i < length; i += 1) {
      if (this.#scratch[i] !== this.keys[this.keyStart + i]) return false;
    }
    return true;
  }

  #isValidText(line: Buffer, at: number, end: number): boolean {
    return !this.#value.beyondAscii || isUtf8(line.subarray(at, end));
  }
}

/** Whether the object and the line end here. A read that ran past the line ends elsewhere. */
function isEnd(line: Buffer, at: number, end: number): boolean {
  return line[at] === CLOSE_BRACE && at + 1 === end;
}
