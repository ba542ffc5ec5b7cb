/**
 * Folds the changes of one table as they arrive, by a hash table over the key bytes: at most one delete, one update and one insert
 * per key remain. The semantics are those of fold.ts, which works on values. What fold.ts would not fold is refused here one
 * change at a time.
 *
 * A base class instead of a separate object, because every access to a field of another object would cost a load for each byte.
 */
import { fieldEnd, NEWLINE, TAB } from './row-field.ts';
import {
  DEAD,
  DELETE,
  enlarged,
  FIRST_ROWS,
  INSERT,
  roomFor,
  RowRecords,
  UPDATE,
  type RowKind,
} from './row-records.ts';

export const NONE = -1;

export class FoldedRecords extends RowRecords {
  /** A key was inserted twice: the records are unreliable, and none is accepted until {@link reset}. */
  broken = false;
  // The current record: where its bytes were written, before it is committed.
  protected currentGroup = 0;
  protected rowFrom = 0;
  protected rowTo = 0;
  protected keyStart = 0;
  protected keyEnd = 0;
  #hash = new Int32Array(FIRST_ROWS);
  /** By insert record: the earlier delete of the same key. */
  #below = new Int32Array(FIRST_ROWS);
  #slots = emptySlots();
  #folding = false;

  override reset(): void {
    // After one large batch, small ones must not have to clear its large hash table.
    if (this.#slots.length > FIRST_ROWS * 4 && this.#slots.length > this.count * 64)
      this.#slots = emptySlots();
    else if (this.#folding) this.#slots.fill(NONE);
    this.broken = false;
    this.#folding = false;
    super.reset();
  }

  /** Records the current record. @returns false, with nothing recorded, when no correct sequence of changes contains it. */
  protected commit(kind: RowKind, doubtful: boolean): boolean {
    if (this.broken) return false;
    if (this.count === this.kind.length) this.grow();
    const row = this.count;
    this.kind[row] = kind;
    this.group[row] = this.currentGroup;
    this.from[row] = this.rowFrom;
    this.to[row] = this.rowTo;
    this.keyFrom[row] = this.keyStart;
    this.keyTo[row] = this.keyEnd;
    this.#hash[row] = hashOf(this.keys, this.keyStart, this.keyEnd);
    this.#below[row] = NONE;
    this.doubtful[row] = doubtful ? 1 : 0;
    this.anyDoubtful ||= doubtful;
    // Inserts alone need no hash table: the target refuses a duplicate key.
    if (!this.#folding && kind !== INSERT && !this.#index()) return false;
    if (this.#folding && !this.#fold(row, kind)) return false;
    if (!this.#folding) this.live[INSERT] = (this.live[INSERT] ?? 0) + 1;
    this.count += 1;
    this.keysUsed = this.keyEnd;
    if (kind !== DELETE) this.groupAt(this.group[row] ?? 0).used = this.to[row] ?? 0;
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
    const old = this.groupAt(this.group[before] ?? 0);
    const own = this.groupAt(this.group[row] ?? 0);
    if (old.present.every((one, column) => one === 0 || own.present[column] === 1)) return true;
    const union = own.present.map((one, column) => one | (old.present[column] ?? 0));
    const at = this.groupWith(union);
    if (at < 0) return false;
    const into = this.groupAt(at);
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

  protected override grow(): void {
    super.grow();
    this.#hash = enlarged(this.#hash, new Int32Array(this.kind.length));
    this.#below = enlarged(this.#below, new Int32Array(this.kind.length));
  }
}

function emptySlots(): Int32Array<ArrayBuffer> {
  return new Int32Array(FIRST_ROWS * 4).fill(NONE);
}

/** FNV-1a over the bytes, in 32 bits. */
function hashOf(bytes: Buffer, from: number, to: number): number {
  let hash = 0x811c9dc5 | 0;
  for (let at = from; at < to; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return hash;
}
