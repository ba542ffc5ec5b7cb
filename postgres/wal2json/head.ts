/**
 * Reads the head of a wal2json line from its bytes: kind, transaction and, for a change, the table. Only the format that the
 * plugin prints with walferry's options (options.ts) is known. Any other line is `other`, and the decoder (decode.ts) handles it.
 */
import { parseLsn, trustedLsn, type Lsn } from '../../contract/lsn.ts';
import { matches } from './value.ts';

export type LineKind = 'begin' | 'commit' | 'insert' | 'update' | 'delete' | 'other';

const ACTION = Buffer.from('{"action":"');
const XID = Buffer.from('","xid":');
const TIMESTAMP = Buffer.from(',"timestamp":"');
const LSN = Buffer.from(',"lsn":"');
const NEXT_LSN = Buffer.from(',"nextlsn":"');
const SCHEMA = Buffer.from(',"schema":"');
const TABLE = Buffer.from('","table":"');
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SLASH = 0x2f;

/** `","xid":` with ten digits and a timestamp take 62 bytes; longer ones are parsed each time. */
const SAME_BYTES = 96;

function kindOf(action: number | undefined): LineKind {
  switch (action) {
    case 0x42:
      return 'begin';
    case 0x43:
      return 'commit';
    case 0x49:
      return 'insert';
    case 0x55:
      return 'update';
    case 0x44:
      return 'delete';
    case undefined:
    default:
      return 'other';
  }
}

const NOWHERE = parseLsn('0/0');

/** Reads heads one after another. The fields hold those of the last one. */
export class HeadReader {
  xid = 0;
  /** LSNs as the plugin prints them; for `begin` and `commit` only. */
  lsn = NOWHERE;
  nextLsn = NOWHERE;
  /** For `commit` only. */
  timestamp: string | null = null;
  /** Range from the schema's first byte to the table's last, as JSON: `public","table":"orders`. */
  nameFrom = 0;
  nameTo = 0;
  /** Start of the lists of a change, at the comma before them. */
  body = 0;
  /** Transaction id and timestamp of the last line: all lines of one transaction have the same. */
  #same = Buffer.alloc(SAME_BYTES);
  #sameLength = 0;
  /** Start and end of the timestamp in it; both 0 without one. */
  #timeAt = 0;
  #timeTo = 0;

  /** @param from first byte of the line. @param end byte after its last. */
  read(bytes: Buffer, from: number, end: number): LineKind {
    if (!matches(bytes, from, ACTION)) return 'other';
    let at = from + ACTION.length;
    const kind = kindOf(bytes[at]);
    at += 1;
    if (kind === 'other') return 'other';
    const start = at;
    at = this.#transaction(bytes, at, end);
    if (at < 0) return 'other';
    const ends = kind === 'begin' || kind === 'commit';
    if (matches(bytes, at, LSN)) {
      const to = hexPair(bytes, at + LSN.length, end);
      if (to < 0) return 'other';
      if (ends) this.lsn = lsnAt(bytes, at + LSN.length, to);
      at = to + 1;
    } else if (ends) return 'other';
    if (!ends) return this.#name(bytes, at, end) ? kind : 'other';
    // wal2json 2.5 prints it in the begin message, too.
    if (matches(bytes, at, NEXT_LSN)) {
      const to = hexPair(bytes, at + NEXT_LSN.length, end);
      if (to < 0) return 'other';
      if (kind === 'commit') this.nextLsn = lsnAt(bytes, at + NEXT_LSN.length, to);
      at = to + 1;
    } else if (kind === 'commit') return 'other';
    if (kind === 'commit') {
      this.timestamp =
        this.#timeTo === 0
          ? null
          : bytes.toString('latin1', start + this.#timeAt, start + this.#timeTo);
    }
    return bytes[at] === 0x7d && at + 1 === end ? kind : 'other';
  }

  /** Reads transaction id and timestamp. @returns the offset after them, or -1. */
  #transaction(bytes: Buffer, start: number, end: number): number {
    const length = this.#sameLength;
    let same = 0;
    while (same < length && bytes[start + same] === this.#same[same]) same += 1;
    if (length > 0 && same === length) return start + length;
    this.#sameLength = 0;
    if (!matches(bytes, start, XID)) return -1;
    let at = start + XID.length;
    let xid = 0;
    const digits = at;
    for (;;) {
      const digit = (bytes[at] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) break;
      xid = xid * 10 + digit;
      at += 1;
    }
    if (at === digits || at - digits > 10 || xid > 0xffff_ffff) return -1;
    if (bytes[digits] === 0x30 && at > digits + 1) return -1;
    this.xid = xid;
    this.#timeTo = 0;
    // Without a timestamp nothing is remembered: the id alone could be the prefix of a longer one.
    if (!matches(bytes, at, TIMESTAMP)) return at;
    const to = this.#plain(bytes, at + TIMESTAMP.length, end);
    if (to < 0) return -1;
    this.#timeAt = at + TIMESTAMP.length - start;
    this.#timeTo = to - start;
    if (to + 1 - start <= SAME_BYTES) this.#sameLength = bytes.copy(this.#same, 0, start, to + 1);
    return to + 1;
  }

  #name(bytes: Buffer, at: number, end: number): boolean {
    if (!matches(bytes, at, SCHEMA)) return false;
    this.nameFrom = at + SCHEMA.length;
    const schema = this.#string(bytes, this.nameFrom, end);
    if (schema < 0 || !matches(bytes, schema, TABLE)) return false;
    const table = this.#string(bytes, schema + TABLE.length, end);
    if (table < 0) return false;
    this.nameTo = table;
    this.body = table + 1;
    return true;
  }

  /** Like `#string`, but only for printable ASCII without escapes. */
  #plain(bytes: Buffer, from: number, end: number): number {
    const to = this.#string(bytes, from, end);
    for (let at = from; at < to; at += 1) {
      const c = bytes[at] ?? 0;
      if (c < 0x20 || c > 0x7e || c === BACKSLASH) return -1;
    }
    return to;
  }

  /** Offset of the quote that ends the string; -1 if the line ends before it. */
  #string(bytes: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end) {
      const c = bytes[at];
      if (c === QUOTE) return at;
      at += c === BACKSLASH ? 2 : 1;
    }
    return -1;
  }
}

/**
 * Offset of the quote after an LSN: one to eight hexadecimal digits on both sides of the slash, as in contract/lsn.ts.
 * @returns -1 for anything else.
 */
function hexPair(bytes: Buffer, from: number, end: number): number {
  const slash = behindHex(bytes, from);
  if (slash === from || slash - from > 8 || bytes[slash] !== SLASH) return -1;
  const quote = behindHex(bytes, slash + 1);
  if (quote === slash + 1 || quote - slash > 9) return -1;
  return quote < end && bytes[quote] === QUOTE ? quote : -1;
}

function behindHex(bytes: Buffer, from: number): number {
  let at = from;
  for (;;) {
    const c = bytes[at] ?? 0;
    const letter = c | 0x20;
    if (!(c >= 0x30 && c <= 0x39) && !(letter >= 0x61 && letter <= 0x66)) return at;
    at += 1;
  }
}

function lsnAt(bytes: Buffer, from: number, to: number): Lsn {
  return trustedLsn(bytes.toString('latin1', from, to));
}

/** A map with the table names in heads as keys. */
export class ByName<T> {
  readonly #entries = new Map<string, T>();
  /** Entries by a hash of the name's bytes: a name that is found here needs no conversion to text. */
  readonly #met = new Map<number, { readonly name: Buffer; readonly value: T }>();

  set(schema: string, table: string, value: T): void {
    this.#entries.set(nameOf(schema, table), value);
    this.#met.clear();
  }

  get(bytes: Buffer, { nameFrom, nameTo }: HeadReader): T | undefined {
    let hash = nameTo - nameFrom;
    for (let at = nameFrom; at < nameTo; at += 1) hash = (hash * 31 + (bytes[at] ?? 0)) | 0;
    const met = this.#met.get(hash);
    if (met?.name.length === nameTo - nameFrom && matches(bytes, nameFrom, met.name)) {
      return met.value;
    }
    const value = this.#entries.get(bytes.toString('utf8', nameFrom, nameTo));
    if (value === undefined) return undefined;
    this.#met.set(hash, { name: Buffer.from(bytes.subarray(nameFrom, nameTo)), value });
    return value;
  }
}

/** The name as in the line. A name that the plugin escapes differently is not found, and its line goes to the decoder. */
function nameOf(schema: string, table: string): string {
  return `${JSON.stringify(schema).slice(1, -1)}","table":"${JSON.stringify(table).slice(1, -1)}`;
}
