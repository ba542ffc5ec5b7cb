/**
 * The head of a line of wal2json as bytes: what it is, of which transaction, and for a change of which table. Only the plugin's own
 * form is known, with the options that walferry sends (options.ts); of any other line the answer is `other`, and the decoder
 * (decode.ts) judges it.
 */
import { isLsn, parseLsn } from '../../contract/lsn.ts';
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

const KINDS = new Map<number | undefined, LineKind>([
  [0x42, 'begin'],
  [0x43, 'commit'],
  [0x49, 'insert'],
  [0x55, 'update'],
  [0x44, 'delete'],
]);

const NOWHERE = parseLsn('0/0');

/** Reads one head after another; its fields are those of the last one. */
export class HeadReader {
  xid = 0;
  /** Positions as the plugin prints them; of `begin` and `commit` only. */
  lsn = NOWHERE;
  nextLsn = NOWHERE;
  timestamp: string | null = null;
  /** Bytes from the schema's first to the table's last, as JSON: `public","table":"orders`. */
  nameFrom = 0;
  nameTo = 0;
  /** Where the lists of a change begin, with the comma before them. */
  body = 0;

  /** @param from first byte of the line. @param end behind its last. */
  read(bytes: Buffer, from: number, end: number): LineKind {
    if (!matches(bytes, from, ACTION)) return 'other';
    let at = from + ACTION.length;
    const kind = KINDS.get(bytes[at]) ?? 'other';
    at += 1;
    if (kind === 'other' || !matches(bytes, at, XID)) return 'other';
    at += XID.length;
    let xid = 0;
    const digits = at;
    for (;;) {
      const digit = (bytes[at] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) break;
      xid = xid * 10 + digit;
      at += 1;
    }
    if (at === digits || at - digits > 10 || xid > 0xffff_ffff) return 'other';
    this.xid = xid;
    const ends = kind === 'begin' || kind === 'commit';
    if (matches(bytes, at, TIMESTAMP)) {
      const to = this.#plain(bytes, at + TIMESTAMP.length, end);
      if (to < 0) return 'other';
      if (ends) this.timestamp = bytes.toString('latin1', at + TIMESTAMP.length, to);
      at = to + 1;
    } else this.timestamp = null;
    if (matches(bytes, at, LSN)) {
      const to = this.#plain(bytes, at + LSN.length, end);
      if (to < 0) return 'other';
      if (ends) {
        const lsn = bytes.toString('latin1', at + LSN.length, to);
        if (!isLsn(lsn)) return 'other';
        this.lsn = lsn;
      }
      at = to + 1;
    } else if (ends) return 'other';
    if (!ends) return this.#name(bytes, at, end) ? kind : 'other';
    if (kind === 'commit') {
      if (!matches(bytes, at, NEXT_LSN)) return 'other';
      const to = this.#plain(bytes, at + NEXT_LSN.length, end);
      if (to < 0) return 'other';
      const nextLsn = bytes.toString('latin1', at + NEXT_LSN.length, to);
      if (!isLsn(nextLsn)) return 'other';
      this.nextLsn = nextLsn;
      at = to + 1;
    }
    return bytes[at] === 0x7d && at + 1 === end ? kind : 'other';
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

  /** As `#string`, for one without escapes. */
  #plain(bytes: Buffer, from: number, end: number): number {
    const to = this.#string(bytes, from, end);
    for (let at = from; at < to; at += 1) if (bytes[at] === BACKSLASH) return -1;
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

/** Something by the names in heads; the name of the last one is compared first. */
export class ByName<T> {
  readonly #entries = new Map<string, T>();
  #last: { readonly name: Buffer; readonly value: T } | null = null;

  set(schema: string, table: string, value: T): void {
    this.#entries.set(nameOf(schema, table), value);
    this.#last = null;
  }

  get(bytes: Buffer, { nameFrom, nameTo }: HeadReader): T | undefined {
    const last = this.#last;
    if (
      last !== null &&
      last.name.length === nameTo - nameFrom &&
      matches(bytes, nameFrom, last.name)
    ) {
      return last.value;
    }
    const value = this.#entries.get(bytes.toString('utf8', nameFrom, nameTo));
    if (value === undefined) return undefined;
    this.#last = { name: Buffer.from(bytes.subarray(nameFrom, nameTo)), value };
    return value;
  }
}

/** As in the line: names of JSON escapes that the plugin writes otherwise are not found, and go to the decoder. */
function nameOf(schema: string, table: string): string {
  return `${JSON.stringify(schema).slice(1, -1)}","table":"${JSON.stringify(table).slice(1, -1)}`;
}
