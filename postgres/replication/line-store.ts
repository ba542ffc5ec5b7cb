/**
 * Lines of the stream as bytes, behind each other in large buffers: the buffer that a line arrives in belongs to the driver's parser
 * and is written again. A line is an object of five numbers and references, and no text is made of it.
 */

/** Small lines share a buffer of this size; it is freed when the last of them is. */
const SLAB_BYTES = 256 * 1024;
/** A larger line gets a buffer of its own. */
const SHARED_BYTES = 16 * 1024;

/** One line of the plugin. */
export class Line {
  readonly kind = 'message';
  readonly bytes: Buffer;
  readonly from: number;
  /** Behind the last byte. */
  readonly to: number;
  /** Position as the driver prints it. */
  lsn = '';

  constructor(bytes: Buffer, from: number, to: number) {
    this.bytes = bytes;
    this.from = from;
    this.to = to;
  }

  get length(): number {
    return this.to - this.from;
  }

  /** The line's own bytes, not a copy. */
  get own(): Buffer {
    return this.bytes.subarray(this.from, this.to);
  }
}

export class LineStore {
  #slab = Buffer.allocUnsafeSlow(0);
  #used = 0;

  /** Copies the line. */
  keep(line: Buffer): Line {
    const { length } = line;
    if (length > SHARED_BYTES) {
      const own = Buffer.allocUnsafeSlow(length);
      line.copy(own);
      return new Line(own, 0, length);
    }
    if (this.#used + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#used = 0;
    }
    const from = this.#used;
    this.#slab.set(line, from);
    this.#used += length;
    return new Line(this.#slab, from, this.#used);
  }
}
