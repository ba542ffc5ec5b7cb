/** The fields of one wal2json line: collected while it is scanned, checked at its end. */
import { isLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Cell, WalMessage } from './message.ts';

const NO_CELLS: readonly Cell[] = [];

/** Thrown only inside the decoder. Names what was expected, never what was found, which may be a row value. */
export class Unexpected extends Error {}

/** The flat fields of one line, checked at the end of the line. */
export class Fields {
  columns: readonly Cell[] | null = null;
  identity: readonly Cell[] | null = null;
  #action: string | null = null;
  #xid: string | null = null;
  #lsn: string | null = null;
  #nextlsn: string | null = null;
  #timestamp: string | null = null;
  #schema: string | null = null;
  #table: string | null = null;
  #transactional: string | null = null;
  #prefix: string | null = null;
  #content: string | null = null;

  readonly #keys: string[] = [];

  /** @throws Unexpected for a repeated field: the wrong one could be used. */
  once(key: string): void {
    if (this.#keys.includes(key)) throw new Unexpected('expected each field once');
    this.#keys.push(key);
  }

  set(key: string, value: string | null): void {
    switch (key) {
      case 'action':
        this.#action = value;
        break;
      case 'xid':
        this.#xid = value;
        break;
      case 'lsn':
        this.#lsn = value;
        break;
      case 'nextlsn':
        this.#nextlsn = value;
        break;
      case 'timestamp':
        this.#timestamp = value;
        break;
      case 'schema':
        this.#schema = value;
        break;
      case 'table':
        this.#table = value;
        break;
      case 'transactional':
        this.#transactional = value;
        break;
      case 'prefix':
        this.#prefix = value;
        break;
      case 'content':
        this.#content = value;
        break;
      default: // options that walferry does not set add fields; none of them changes the meaning of a row
    }
  }

  message(): WalMessage {
    const action = this.#action;
    switch (action) {
      case 'I':
      case 'U':
      case 'D': {
        this.#lists(action !== 'D', action !== 'I');
        return {
          action,
          xid: this.#transaction(),
          lsn: this.#position(),
          ...this.#relation(),
          columns: this.columns ?? NO_CELLS,
          identity: this.identity ?? NO_CELLS,
        };
      }
      case 'B':
        this.#lists(false, false);
        return {
          action,
          xid: this.#transaction(),
          lsn: required(this.#position(), 'a position'),
          timestamp: this.#timestamp,
        };
      case 'C':
        this.#lists(false, false);
        return {
          action,
          xid: this.#transaction(),
          lsn: required(this.#position(), 'a position'),
          nextlsn: required(lsnOf(this.#nextlsn), 'the end of the commit record'),
          timestamp: this.#timestamp,
        };
      case 'T':
        this.#lists(false, false);
        return {
          action,
          xid: this.#transaction(),
          lsn: this.#position(),
          ...this.#relation(),
        };
      case 'M':
        this.#lists(false, false);
        return {
          action,
          xid: this.#xid === null ? null : this.#transaction(),
          lsn: this.#position(),
          transactional: this.#transactional === 't',
          prefix: required(this.#prefix, 'a prefix'),
          content: this.#content ?? '',
        };
      case null:
      default:
        throw new Unexpected('expected one of the actions B, C, I, U, D, T, M');
    }
  }

  /** The lists must fit the action: otherwise an update could be read as an insert. */
  #lists(columns: boolean, identity: boolean): void {
    if ((this.columns !== null) !== columns) {
      throw new Unexpected(columns ? 'expected columns' : 'expected no columns');
    }
    if ((this.identity !== null) !== identity) {
      throw new Unexpected(identity ? 'expected an identity' : 'expected no identity');
    }
  }

  #relation(): { schema: string; table: string } {
    return {
      schema: sharedName(required(this.#schema, 'a schema')),
      table: sharedName(required(this.#table, 'a table')),
    };
  }

  #transaction(): number {
    // 32 bits: exact as a JavaScript number.
    const xid = Number(required(this.#xid, 'a transaction id'));
    if (!Number.isInteger(xid) || xid < 0) throw new Unexpected('expected a transaction id');
    return xid;
  }

  #position(): Lsn | null {
    return lsnOf(this.#lsn);
  }
}

const names = new Map<string, string>();
const MOST_NAMES = 20_000;

/** One string for equal names: without it a batch of 20,000 short rows would hold each of its few names 20,000 times. */
export function sharedName(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (names.size >= MOST_NAMES) names.clear();
  names.set(name, name);
  return name;
}

function required<T>(value: T | null, what: string): T {
  if (value === null) throw new Unexpected(`expected ${what}`);
  return value;
}

function lsnOf(text: string | null): Lsn | null {
  if (text === null) return null;
  if (!isLsn(text)) throw new Unexpected('expected a WAL position');
  return parseLsn(text);
}
