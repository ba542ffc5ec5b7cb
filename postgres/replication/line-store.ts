/**
 * Lines of the stream as bytes. A line that has just arrived lies in the read that brought it, among many others; one that is kept until
 * its batch is written moves into a buffer of kept ones: alone it would hold the whole read. No text is made of it.
 */
import { formatLsn, type Lsn } from '../../contract/lsn.ts';

/** Small lines share a buffer of this size; it is freed when the last of them is. */
const SLAB_BYTES = 256 * 1024;
/** A larger line gets a buffer of its own. */
const SHARED_BYTES = 16 * 1024;

/** One line of the plugin. */
export class Line {
  readonly kind = 'message';
  bytes: Buffer;
  from: number;
  /** Behind the last byte. */
  to: number;
  readonly #high: number;
  readonly #low: number;

  /** @param high upper, and lower 32 bits of the position that the server gives the line. */
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

  /** The line's own bytes, not a copy. */
  get own(): Buffer {
    return this.bytes.subarray(this.from, this.to);
  }

  /** Made only when somebody asks. */
  get lsn(): Lsn {
    return formatLsn((BigInt(this.#high) << 32n) | BigInt(this.#low));
  }
}

export class LineStore {
  #slab = Buffer.allocUnsafeSlow(0);
  #used = 0;

  /** Moves the line here, unless it has its buffer for itself. */
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
