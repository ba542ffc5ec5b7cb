/**
 * The head of a line of wal2json as bytes: what it is, of which transaction, and for a change of which table. Only the plugin's own
 * form is known, with the options that walferry sends (options.ts); of any other line the answer is `other`, and the decoder
 * (decode.ts) judges it.
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

/** `","xid":` with ten digits and a time are 62 bytes; longer ones are read each time. */
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

/** Reads one head after another; its fields are those of the last one. */
export class HeadReader {
  xid = 0;
  /** Positions as the plugin prints them; of `begin` and `commit` only. */
  lsn = NOWHERE;
  nextLsn = NOWHERE;
  /** Of `commit` only. */
  timestamp: string | null = null;
  /** Bytes from the schema's first to the table's last, as JSON: `public","table":"orders`. */
  nameFrom = 0;
  nameTo = 0;
  /** Where the lists of a change begin, with the comma before them. */
  body = 0;
  /** Transaction id and time as the last line had them: those of one transaction have the same. */
  #same = Buffer.alloc(SAME_BYTES);
  #sameLength = 0;
  /** Places of the time in it; both 0 without one. */
  #timeAt = 0;
  #timeTo = 0;

  /** @param from first byte of the line. @param end behind its last. */
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
    // The plugin's version 2.5 prints it at the beginning, too.
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

  /** Reads transaction id and time. @returns the place behind them, or -1. */
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
    // Without a time nothing is remembered: the id alone could be the beginning of a longer one.
    if (!matches(bytes, at, TIMESTAMP)) return at;
    const to = this.#plain(bytes, at + TIMESTAMP.length, end);
    if (to < 0) return -1;
    this.#timeAt = at + TIMESTAMP.length - start;
    this.#timeTo = to - start;
    if (to + 1 - start <= SAME_BYTES) {
      this.#sameLength = bytes.copy(this.#same, 0, start, to + 1);
    }
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

  /** As `#string`, for one of printable ASCII without escapes. */
  #plain(bytes: Buffer, from: number, end: number): number {
    const to = this.#string(bytes, from, end);
    for (let at = from; at < to; at += 1) {
      const c = bytes[at] ?? 0;
      if (c < 0x20 || c > 0x7e || c === BACKSLASH) return -1;
    }
    return to;
  }

  /** The place of the quote that ends the string; -1 when the line ends before. */
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
 * Where the quote behind a WAL position is: one to eight hexadecimal digits on both sides of the slash, as contract/lsn.ts knows it.
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

/** Something by the names in heads. */
export class ByName<T> {
  readonly #entries = new Map<string, T>();
  /** Those met last, by a number made of the name's bytes: no text is made of a name that is here. */
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

/** As in the line: names of JSON escapes that the plugin writes otherwise are not found, and go to the decoder. */
function nameOf(schema: string, table: string): string {
  return `${JSON.stringify(schema).slice(1, -1)}","table":"${JSON.stringify(table).slice(1, -1)}`;
}
