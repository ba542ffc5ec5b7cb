/**
 * Decoder of wal2json's format-version 2 lines: an own scanner instead of `JSON.parse`, which would round bigint and
 * numeric. It is twice as fast as quoting the numbers first, and it knows just what the plugin prints: a flat object
 * whose only nested values are the lists `columns` and `identity`. Anything else stops the stream: a line that is
 * half understood must not be applied.
 */
import { MigrationError } from '../../contract/failure.ts';
import { isLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Cell, WalMessage } from './message.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const NO_CELLS: readonly Cell[] = [];

/** Thrown inside only: its text names what was expected, never what was found (that may be a row's value). */
class Unexpected extends Error {}

/**
 * Reads one message.
 * @param at position of the message in the WAL, for the failure's text.
 * @throws MigrationError `StreamMalformed` naming the position and what was expected; never the text itself.
 */
export function decodeMessage(text: string, at?: Lsn): WalMessage {
  try {
    return new Scanner(text).message();
  } catch (error) {
    if (!(error instanceof Unexpected)) throw error;
    const where = at === undefined ? '' : ` at ${at}`;
    throw new MigrationError(
      'StreamMalformed',
      `a message of wal2json${where} is not understood: ${error.message}`,
      at === undefined ? {} : { lsn: at },
    );
  }
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  message(): WalMessage {
    const fields = new Fields();
    this.#take(OPEN_BRACE, 'an object');
    do {
      const key = this.#string();
      this.#take(COLON, 'a colon');
      if (key === 'columns') fields.columns = this.#cells();
      else if (key === 'identity') fields.identity = this.#cells();
      else fields.set(key, this.#scalar());
    } while (this.#more(CLOSE_BRACE));
    if (this.#at !== this.#text.length) throw new Unexpected('expected the end of the line');
    return fields.message();
  }

  #cells(): Cell[] {
    const cells: Cell[] = [];
    this.#take(OPEN_BRACKET, 'a list');
    if (this.#text.charCodeAt(this.#at) === CLOSE_BRACKET) {
      this.#at += 1;
      return cells;
    }
    do {
      this.#take(OPEN_BRACE, 'a column');
      let name: string | null = null;
      let value: string | null | undefined;
      do {
        const key = this.#string();
        this.#take(COLON, 'a colon');
        if (key === 'name') name = this.#string();
        else if (key === 'value') value = this.#scalar();
        else this.#scalar();
      } while (this.#more(CLOSE_BRACE));
      // A missing value must not be taken for null.
      if (name === null || value === undefined) {
        throw new Unexpected('expected name and value of a column');
      }
      cells.push({ name, value });
    } while (this.#more(CLOSE_BRACKET));
    return cells;
  }

  /** Text of a string, number or boolean; null for null. Booleans become what PostgreSQL prints. */
  #scalar(): string | null {
    const text = this.#text;
    switch (text.charCodeAt(this.#at)) {
      case QUOTE:
        return this.#string();
      case 0x6e: // n
        return this.#word('null', null);
      case 0x74: // t
        return this.#word('true', 't');
      case 0x66: // f
        return this.#word('false', 'f');
      default:
        return this.#number();
    }
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw new Unexpected('expected a value');
    this.#at += word.length;
    return value;
  }

  /** Verbatim, whatever its length: digits, sign, point and exponent as the plugin lets them through. */
  #number(): string {
    const text = this.#text;
    const from = this.#at;
    let at = from;
    for (; at < text.length; at += 1) {
      const c = text.charCodeAt(at);
      const digit = c >= 0x30 && c <= 0x39;
      // + - . E e
      if (!digit && c !== 0x2d && c !== 0x2e && c !== 0x2b && c !== 0x65 && c !== 0x45) break;
    }
    if (at === from) throw new Unexpected('expected a value');
    this.#at = at;
    return text.slice(from, at);
  }

  #string(): string {
    const text = this.#text;
    if (text.charCodeAt(this.#at) !== QUOTE) throw new Unexpected('expected a string');
    const from = this.#at + 1;
    let end = text.indexOf('"', from);
    if (end < 0) throw new Unexpected('expected the end of a string');
    const plain = text.slice(from, end);
    if (!plain.includes('\\')) {
      this.#at = end + 1;
      return plain;
    }
    // A quote after an odd number of backslashes belongs to the value.
    while (escaped(text, end)) {
      end = text.indexOf('"', end + 1);
      if (end < 0) throw new Unexpected('expected the end of a string');
    }
    this.#at = end + 1;
    return unescape(text.slice(from - 1, end + 1));
  }

  #take(code: number, what: string): void {
    if (this.#text.charCodeAt(this.#at) !== code) throw new Unexpected(`expected ${what}`);
    this.#at += 1;
  }

  /** True after a comma, false after the closing character. */
  #more(closing: number): boolean {
    const code = this.#text.charCodeAt(this.#at);
    if (code !== COMMA && code !== closing) throw new Unexpected('expected a comma or an end');
    this.#at += 1;
    return code === COMMA;
  }
}

function escaped(text: string, quote: number): boolean {
  let backslashes = 0;
  for (let at = quote - 1; text.charCodeAt(at) === BACKSLASH; at -= 1) backslashes += 1;
  return backslashes % 2 === 1;
}

function unescape(quoted: string): string {
  try {
    const value: unknown = JSON.parse(quoted);
    if (typeof value === 'string') return value;
  } catch {
    // JSON.parse quotes its input in its message: never pass that on.
  }
  throw new Unexpected('expected a string with known escapes');
}

/** The flat fields of one line, checked when the whole line was read. */
class Fields {
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
      default: // an option that was not asked for adds fields; none of them changes what a row is
    }
  }

  message(): WalMessage {
    const action = this.#action;
    switch (action) {
      case 'I':
      case 'U':
      case 'D': {
        if (action !== 'D' && this.columns === null) throw new Unexpected('expected columns');
        if (action !== 'I' && this.identity === null) throw new Unexpected('expected an identity');
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
        return {
          action,
          xid: this.#transaction(),
          lsn: required(this.#position(), 'a position'),
          timestamp: this.#timestamp,
        };
      case 'C':
        return {
          action,
          xid: this.#transaction(),
          lsn: required(this.#position(), 'a position'),
          nextlsn: required(lsnOf(this.#nextlsn), 'the end of the commit record'),
          timestamp: this.#timestamp,
        };
      case 'T':
        return {
          action,
          xid: this.#transaction(),
          lsn: this.#position(),
          ...this.#relation(),
        };
      case 'M':
        return {
          action,
          xid: this.#xid === null ? null : this.#transaction(),
          lsn: this.#position(),
          transactional: this.#transactional === 't',
          prefix: required(this.#prefix, 'a prefix'),
          content: this.#content ?? '',
        };
      default:
        throw new Unexpected('expected one of the actions B, C, I, U, D, T, M');
    }
  }

  #relation(): { schema: string; table: string } {
    return {
      schema: required(this.#schema, 'a schema'),
      table: required(this.#table, 'a table'),
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

function required<T>(value: T | null, what: string): T {
  if (value === null) throw new Unexpected(`expected ${what}`);
  return value;
}

function lsnOf(text: string | null): Lsn | null {
  if (text === null) return null;
  if (!isLsn(text)) throw new Unexpected('expected a WAL position');
  return parseLsn(text);
}
