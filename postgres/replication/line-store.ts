/**
 * Lines of the stream as bytes, without conversion to text. A new line is a part of the socket read that it arrived in. A line
 * that is kept until its batch is written is copied to another buffer, because it would keep the whole read in memory.
 */
import { formatLsn, type Lsn } from '../../contract/lsn.ts';

/** Small lines share a buffer of this size. It is freed with the last of its lines. */
const SLAB_BYTES = 256 * 1024;
/** A larger line gets its own buffer. */
const SHARED_BYTES = 16 * 1024;

export class Line {
  readonly kind = 'message';
  bytes: Buffer;
  from: number;
  to: number;
  readonly #high: number;
  readonly #low: number;

  /** @param high upper 32 bits of the LSN that the server sends with the line; `low` has the lower 32. */
  constructor(bytes: Buffer, from: number, to: number, high = 0, low = 0) {
    this.bytes = bytes;
    this.from = from;
    this.to = to;
    this.#high = high;
    this.#low = low;
  }

  get length(): number {
    return this.to - this.from;
  }

  /** The line's bytes, not a copy. */
  get own(): Buffer {
    return this.bytes.subarray(this.from, this.to);
  }

  /** Formatted on demand. */
  get lsn(): Lsn {
    return formatLsn((BigInt(this.#high) << 32n) | BigInt(this.#low));
  }
}

export class LineStore {
  #slab = Buffer.allocUnsafeSlow(0);
  #used = 0;

  /** Copies the line to a kept buffer, unless it fills most of its own already. */
  keep(line: Line): void {
    const { length } = line;
    if (length > SHARED_BYTES) {
      if (length > line.bytes.length / 2) return;
      line.bytes = Buffer.from(line.own);
      line.from = 0;
      line.to = length;
      return;
    }
    if (this.#used + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#used = 0;
    }
    this.#slab.set(line.own, this.#used);
    line.bytes = this.#slab;
    line.from = this.#used;
    this.#used += length;
    line.to = this.#used;
  }
}
