/**
 * Decoder of wal2json's format-version 2 lines. It does not use `JSON.parse`, which would round bigint and numeric, and it is
 * twice as fast as quoting the numbers first. It accepts only what the plugin prints: a flat object whose only nested values are
 * the lists `columns` and `identity`. Anything else stops the stream: a line that is only partly understood must not be applied.
 */
import { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';
import { Fields, sharedName, Unexpected } from './fields.ts';
import type { Cell, WalMessage } from './message.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** A JSON number. PostgreSQL prints no other format, and a part of another one would be a wrong number. */
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// The plugin escapes every control character.
const CONTROL = /[\u0000-\u001f]/;
/** What may follow a backslash; PostgreSQL's text types never hold a NUL. */
const ESCAPE = /["\\bfnrt]|u00(?:0[1-9a-f]|1[0-9a-f])/y;

/**
 * Reads one message.
 * @param at LSN of the message, for the error message.
 * @throws MigrationError `StreamMalformed` with the LSN and what was expected, never the text itself.
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
      fields.once(key);
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
        // Of two fields with one name, the wrong one could be used.
        if (key === 'name' && name === null) name = sharedName(this.#string());
        else if (key === 'value' && value === undefined) value = this.#scalar();
        else throw new Unexpected('expected name and value of a column, once each');
      } while (this.#more(CLOSE_BRACE));
      // A missing value is not null.
      if (name === null || value === undefined) {
        throw new Unexpected('expected name and value of a column');
      }
      cells.push({ name, value });
    } while (this.#more(CLOSE_BRACKET));
    if (new Set(cells.map((cell) => cell.name)).size !== cells.length) {
      throw new Unexpected('expected each column once');
    }
    return cells;
  }

  /** Text of a string, number or boolean; null for null. Booleans are returned as PostgreSQL prints them. */
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

  /** The number exactly as the plugin prints it, of any length. */
  #number(): string {
    NUMBER.lastIndex = this.#at;
    const [number] = NUMBER.exec(this.#text) ?? [];
    if (number === undefined) throw new Unexpected('expected a value');
    this.#at += number.length;
    return number;
  }

  #string(): string {
    const text = this.#text;
    if (text.charCodeAt(this.#at) !== QUOTE) throw new Unexpected('expected a string');
    const from = this.#at + 1;
    let end = text.indexOf('"', from);
    if (end < 0) throw new Unexpected('expected the end of a string');
    const plain = text.slice(from, end);
    if (!plain.includes('\\')) {
      if (CONTROL.test(plain)) throw new Unexpected('expected no control character');
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
  for (let at = quoted.indexOf('\\'); at >= 0; at = quoted.indexOf('\\', ESCAPE.lastIndex)) {
    ESCAPE.lastIndex = at + 1;
    if (!ESCAPE.test(quoted)) throw new Unexpected('expected a string with known escapes');
  }
  try {
    const value: unknown = JSON.parse(quoted);
    if (typeof value === 'string') return value;
  } catch {
    // The message of JSON.parse quotes its input, which may be a row value: never pass it on.
  }
  throw new Unexpected('expected a string with known escapes');
}
