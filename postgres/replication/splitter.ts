/**
 * Separates the data messages of a replication stream from the other bytes, before the driver sees them: driver and library would
 * create two views, two strings and a promise for each. Everything else (keepalives, notices, errors) is passed on in order.
 * Pure.
 */

const COPY_DATA = 0x64; // d
const XLOG_DATA = 0x77; // w
/** Type and length; the length includes itself, not the type. */
const HEADER_BYTES = 5;
/** Header of a data message before its payload: kind, start and end in the WAL, the server's clock. */
const DATA_HEAD_BYTES = 25;

export interface WalSinks {
  /** A data message. Its payload is in `bytes`, which is never written again. */
  readonly line: (bytes: Buffer, from: number, to: number, high: number, low: number) => void;
  /** Consecutive bytes of all other messages, including headers. Valid until the call returns. */
  readonly other: (piece: Buffer) => void;
}

/** Which part of a split message is collected: type and length; the kind byte after them; or all of a data message. */
type Wanted = 'header' | 'kind' | 'data';

export class WalSplitter {
  readonly #sinks: WalSinks;
  /** A message that continues in the next read. */
  #part: Buffer | null = null;
  #wanted: Wanted = 'header';
  #filled = 0;
  /** Remaining bytes of another message. */
  #passing = 0;

  constructor(sinks: WalSinks) {
    this.#sinks = sinks;
  }

  /** Whether a data message has arrived only partly. */
  get inside(): boolean {
    return this.#part !== null && this.#wanted === 'data';
  }

  /**
   * Takes the next bytes from the socket; the caller must not change them later.
   * @throws RangeError for a data message that is too short.
   */
  push(read: Buffer): void {
    let at = 0;
    // Start of the bytes that the driver has yet to get.
    let from = 0;
    while (at < read.length) {
      if (this.#part !== null) {
        at += this.#complete(this.#part, read, at);
        from = at;
        continue;
      }
      const left = read.length - at;
      if (this.#passing > 0) {
        const length = Math.min(this.#passing, left);
        this.#passing -= length;
        at += length;
        continue;
      }
      const mayBeData = read[at] === COPY_DATA;
      if (left < HEADER_BYTES || (mayBeData && left === HEADER_BYTES)) {
        this.#pass(read, from, at);
        const header = left < HEADER_BYTES;
        this.#begin(read, at, header ? 'header' : 'kind', HEADER_BYTES + (header ? 0 : 1));
        return;
      }
      const length = read.readUInt32BE(at + 1) + 1;
      if (!mayBeData || read[at + HEADER_BYTES] !== XLOG_DATA) {
        this.#passing = length;
        continue;
      }
      this.#pass(read, from, at);
      if (left < length) {
        this.#begin(read, at, 'data', length);
        return;
      }
      this.#line(read, at, at + length);
      at += length;
      from = at;
    }
    this.#pass(read, from, read.length);
  }

  /** Keeps the first part of a message, with room for the wanted length. */
  #begin(read: Buffer, at: number, wanted: Wanted, length: number): void {
    this.#wanted = wanted;
    this.#part = Buffer.allocUnsafeSlow(length);
    this.#filled = read.copy(this.#part, 0, at);
  }

  /** Adds to the split message. @returns the number of bytes taken. */
  #complete(part: Buffer, read: Buffer, at: number): number {
    const taken = read.copy(part, this.#filled, at);
    this.#filled += taken;
    if (this.#filled < part.length) return taken;
    this.#part = null;
    const length = part.readUInt32BE(1) + 1;
    if (this.#wanted === 'data') this.#line(part, 0, length);
    else if (this.#wanted === 'header' && part[0] === COPY_DATA) {
      this.#begin(part, 0, 'kind', HEADER_BYTES + 1);
    } else if (this.#wanted === 'kind' && part[HEADER_BYTES] === XLOG_DATA) {
      this.#begin(part, 0, 'data', length);
    } else {
      this.#sinks.other(part);
      this.#passing = length - part.length;
    }
    return taken;
  }

  #line(bytes: Buffer, at: number, end: number): void {
    const payload = at + HEADER_BYTES;
    if (end - payload < DATA_HEAD_BYTES) throw new RangeError('a data message without its header');
    const high = bytes.readUInt32BE(payload + 1);
    const low = bytes.readUInt32BE(payload + 5);
    this.#sinks.line(bytes, payload + DATA_HEAD_BYTES, end, high, low);
  }

  #pass(read: Buffer, from: number, to: number): void {
    if (to > from) this.#sinks.other(read.subarray(from, to));
  }
}
