/**
 * The changes of one table in one batch, as bytes: rows in COPY text format one after another, plus arrays of offsets, with one
 * entry for each change. Fields instead of objects: an object for each change would cost more than all other work on it.
 */
import { SKIPPED } from '../wal2json/value.ts';
import { fieldEnd, fieldsOf, isNull, NEWLINE, TAB } from './row-field.ts';
import type { RowLayout } from './row-layout.ts';

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

export const FIRST_ROWS = 64;
export const FIRST_BYTES = 4096;
/** A buffer is kept for the next batch up to this size. */
export const KEPT_BYTES = 2 * 1024 * 1024;
/** Maximum combinations of columns in the updates of one batch, and how many are kept for the next. */
const MOST_GROUPS = 64;
const KEPT_GROUPS = 8;

export class RowRecords {
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
  /** Live records by kind. */
  readonly live = new Int32Array(4);
  /** Whether a record was folded away or moved. Otherwise a group's bytes are exactly its rows. */
  mixed = false;

  constructor(layout: RowLayout) {
    this.layout = layout;
    this.groups.push(
      emptyGroup(Uint8Array.from(layout.kinds, (kind) => (kind === SKIPPED ? 0 : 1))),
    );
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
    const group = this.groupAt(this.group[row] ?? 0);
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
    this.count = 0;
    this.keysUsed = 0;
    this.mixed = false;
    this.anyDoubtful = false;
    this.live.fill(0);
    if (this.groups.length > KEPT_GROUPS) this.groups.length = 1;
    for (const group of this.groups) {
      group.used = 0;
      if (group.bytes.length > KEPT_BYTES) group.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    }
    if (this.keys.length > KEPT_BYTES) this.keys = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  /** Index of the group with exactly these columns; -1 when there are too many, as each has its own buffer and statement. */
  protected groupWith(present: Uint8Array): number {
    const at = this.groups.findIndex((group) =>
      group.present.every((one, i) => one === present[i]),
    );
    if (at >= 0 || this.groups.length >= MOST_GROUPS) return at;
    return this.groups.push(emptyGroup(present.slice())) - 1;
  }

  protected groupAt(at: number): RowGroup {
    const group = this.groups[at];
    if (group === undefined) throw new RangeError('no such group');
    return group;
  }

  protected roomForKey(bytes: number): void {
    if (this.keysUsed + bytes <= this.keys.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.keys.length * 2, this.keysUsed + bytes));
    // Copies everything: the current key may start after `keysUsed`.
    this.keys.copy(grown);
    this.keys = grown;
  }

  protected grow(): void {
    const size = this.kind.length * 2;
    this.kind = enlarged(this.kind, new Uint8Array(size));
    this.group = enlarged(this.group, new Uint16Array(size));
    this.from = enlarged(this.from, new Int32Array(size));
    this.to = enlarged(this.to, new Int32Array(size));
    this.keyFrom = enlarged(this.keyFrom, new Int32Array(size));
    this.keyTo = enlarged(this.keyTo, new Int32Array(size));
    this.doubtful = enlarged(this.doubtful, new Uint8Array(size));
  }
}

function emptyGroup(present: Uint8Array): RowGroup {
  return { present, bytes: Buffer.allocUnsafeSlow(FIRST_BYTES), used: 0 };
}

/** The group's buffer, enlarged if it has less room than this. */
export function roomFor(group: RowGroup, bytes: number): Buffer {
  if (group.used + bytes > group.bytes.length) {
    const grown = Buffer.allocUnsafeSlow(Math.max(group.bytes.length * 2, group.used + bytes));
    group.bytes.copy(grown, 0, 0, group.used);
    group.bytes = grown;
  }
  return group.bytes;
}

export function enlarged<T extends Uint8Array | Uint16Array | Int32Array>(old: T, fresh: T): T {
  fresh.set(old);
  return fresh;
}
