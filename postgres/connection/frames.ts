/**
 * Splits what a server sends into CopyData frames and everything else, without looking into a frame and without copying: a frame that
 * COPY TO sends is a frame that COPY FROM takes. Pure.
 */

const COPY_DATA = 0x64; // 'd'
/** Type and length; the length counts itself and not the type. */
const HEADER_BYTES = 5;

export interface FrameSinks {
  /** Consecutive bytes of CopyData frames, headers included; a piece may end anywhere. Valid until the call returns unless kept. */
  readonly copyData: (piece: Buffer) => void;
  /** Consecutive bytes of all other messages. */
  readonly other: (piece: Buffer) => void;
}

export class FrameSplitter {
  readonly #sinks: FrameSinks;
  /** Bytes of the message at work that have not come yet. */
  #left = 0;
  #isData = false;
  /** Start of a header that was cut by the end of a read. */
  #head: Buffer | null = null;
  #bytes = 0;

  constructor(sinks: FrameSinks) {
    this.#sinks = sinks;
  }

  /** Whether the last byte taken ended a message. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#head === null;
  }

  /** Bytes inside of CopyData frames so far, without their headers. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the next bytes from the socket and hands all of them on, except for a header that is not whole yet. */
  push(read: Buffer): void {
    const chunk = this.#head === null ? read : Buffer.concat([this.#head, read]);
    this.#head = null;
    const end = chunk.length;
    let from = 0;
    let at = Math.min(this.#left, end);
    this.#left -= at;
    while (at < end && this.#left === 0) {
      if (end - at < HEADER_BYTES) {
        this.#head = chunk.subarray(at);
        break;
      }
      const isData = chunk[at] === COPY_DATA;
      if (isData !== this.#isData) {
        this.#hand(chunk, from, at);
        from = at;
        this.#isData = isData;
      }
      const length = chunk.readUInt32BE(at + 1) + 1;
      if (isData) this.#bytes += length - HEADER_BYTES;
      const next = at + length;
      at = Math.min(next, end);
      this.#left = next - at;
    }
    this.#hand(chunk, from, at);
  }

  #hand(chunk: Buffer, from: number, to: number): void {
    if (from === to) return;
    const piece = chunk.subarray(from, to);
    if (this.#isData) this.#sinks.copyData(piece);
    else this.#sinks.other(piece);
  }
}
