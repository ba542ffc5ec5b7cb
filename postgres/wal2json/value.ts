/**
 * Converts one JSON value of wal2json to COPY text, bytes to bytes, without creating a string or object. Everything that is not
 * exactly what the plugin prints is refused; the caller then passes the line to the decoder (decode.ts).
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LETTER_E = 0x65;
/** Longer strings are searched and copied with Buffer methods, which are slower for short ones. */
const LONG = 48;

/** How a column's values are written. */
export const PLAIN = 0;
/** Hexadecimal digits that arrive without `\x`. */
export const BYTEA = 1;
/** A null may be a non-finite number (wal2json before 2.6): the writer has to find out. */
export const EXPOSED = 2;
/** Not written: the target generates it. */
export const SKIPPED = 3;
/** A null is a non-finite number, or cannot be read from the source: the decoder handles it. */
export const NEVER_NULL = 4;
export type ValueKind =
  typeof PLAIN | typeof BYTEA | typeof EXPOSED | typeof SKIPPED | typeof NEVER_NULL;

/** COPY text has at most this many bytes more than the JSON value: `\\` stays two bytes, `null` shrinks, bytea grows by `\\x`. */
export const GROWTH_BYTES = 4;

/**
 * Reads values of a line and appends them to a buffer, which has room for the line's length plus {@link GROWTH_BYTES} per value.
 */
export class ValueWriter {
  /** Offset of the next byte to read. */
  at = 0;
  /** Offset of the next byte to write. */
  to = 0;
  /** Whether there were bytes beyond ASCII: then the line must be checked for valid UTF-8. */
  beyondAscii = false;
  /** Whether there was a null that may be a non-finite number. */
  doubtful = false;

  /**
   * Writes the value at {@link at}.
   * @returns false for an invalid value, or a null of a kind that is never null; the output must not be used then.
   */
  write(line: Buffer, out: Buffer, kind: ValueKind): boolean {
    switch (line[this.at]) {
      case QUOTE:
        return this.#string(line, out, kind);
      case 0x6e: // n
        if (kind === NEVER_NULL || !matches(line, this.at, NULL)) return false;
        if (kind === EXPOSED) this.doubtful = true;
        this.at += NULL.length;
        out[this.to++] = BACKSLASH;
        out[this.to++] = 0x4e; // N
        return true;
      case 0x74: // t
        return this.#word(line, out, TRUE);
      case 0x66: // f
        return this.#word(line, out, FALSE);
      case undefined:
        return false;
      default:
        return this.#number(line, out);
    }
  }

  #word(line: Buffer, out: Buffer, word: Buffer): boolean {
    if (!matches(line, this.at, word)) return false;
    out[this.to++] = word[0] ?? 0;
    this.at += word.length;
    return true;
  }

  /** A JSON number. Any other format is refused: it could be a part of another number. */
  #number(line: Buffer, out: Buffer): boolean {
    let { at } = this;
    const shift = this.to - at;
    if (line[at] === MINUS) out[shift + at++] = MINUS;
    const whole = digits(line, out, at, shift);
    // No digit follows a leading zero.
    if (whole === at || (line[at] === ZERO && whole > at + 1)) return false;
    at = whole;
    if (line[at] === POINT) {
      out[shift + at++] = POINT;
      const fraction = digits(line, out, at, shift);
      if (fraction === at) return false;
      at = fraction;
    }
    const letter = line[at] ?? 0;
    if ((letter | 0x20) === LETTER_E) {
      out[shift + at++] = letter;
      const sign = line[at] ?? 0;
      if (sign === MINUS || sign === PLUS) out[shift + at++] = sign;
      const exponent = digits(line, out, at, shift);
      if (exponent === at) return false;
      at = exponent;
    }
    this.at = at;
    this.to = shift + at;
    return true;
  }

  #string(line: Buffer, out: Buffer, kind: ValueKind): boolean {
    let at = this.at + 1;
    let to = this.to;
    if (kind === BYTEA && !(line[at] === BACKSLASH && line[at + 1] === BACKSLASH)) {
      out[to++] = BACKSLASH;
      out[to++] = BACKSLASH;
      out[to++] = 0x78; // x
    }
    let high = 0;
    // From this offset on, a part without escapes counts as long.
    let long = at + LONG;
    const end = line.length;
    while (at < end) {
      if (at >= long) {
        const stop = this.#plain(line, out, at, to);
        if (stop < 0) return false;
        to += stop - at;
        at = stop;
      }
      const c = line[at++] ?? 0;
      if (c === QUOTE) {
        this.at = at;
        this.to = to;
        if (high > 0x7f) this.beyondAscii = true;
        return true;
      }
      if (c === BACKSLASH) {
        const written = escaped(line, at, out, to);
        if (written < 0) return false;
        at += (line[at] ?? 0) === 0x75 ? 5 : 1;
        to += written;
        long = at + LONG;
      } else {
        // JSON strings have no control characters; one here could end the COPY row.
        if (c < 0x20) return false;
        high |= c;
        out[to++] = c;
      }
    }
    return false;
  }

  /** Copies everything before the next quote or escape. @returns its offset, or -1. */
  #plain(line: Buffer, out: Buffer, at: number, to: number): number {
    const quote = line.indexOf(QUOTE, at);
    if (quote < 0) return -1;
    // Search only up to the quote: without an escape the search would continue through all following lines.
    const part = line.subarray(at, quote);
    const backslash = part.indexOf(BACKSLASH);
    const length = backslash < 0 ? part.length : backslash;
    part.copy(out, to, 0, length);
    let high = 0;
    for (let i = to; i < to + length; i += 1) {
      const c = out[i] ?? 0;
      if (c < 0x20) return -1;
      high |= c;
    }
    if (high > 0x7f) this.beyondAscii = true;
    return at + length;
  }
}

const NULL = Buffer.from('null');
const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');

/** Copies digits, `shift` bytes further in the output. @returns the offset after them. */
function digits(line: Buffer, out: Buffer, from: number, shift: number): number {
  let at = from;
  for (;;) {
    const c = line[at] ?? 0;
    if (c < ZERO || c > NINE) return at;
    out[shift + at] = c;
    at += 1;
  }
}

/** Whether the line has these bytes at `at`. */
export function matches(line: Buffer, at: number, expected: Buffer): boolean {
  for (let i = 0; i < expected.length; i += 1) if (line[at + i] !== expected[i]) return false;
  return true;
}

/**
 * Writes an escape, whose letter is at `at`, as COPY text. @returns the number of bytes written; -1 for an escape that the plugin
 * does not use.
 */
function escaped(line: Buffer, at: number, out: Buffer, to: number): number {
  switch (line[at]) {
    case QUOTE:
      out[to] = QUOTE;
      return 1;
    case BACKSLASH:
      return pair(out, to, BACKSLASH);
    case 0x6e: // n
      return pair(out, to, 0x6e);
    case 0x74: // t
      return pair(out, to, 0x74);
    case 0x72: // r
      return pair(out, to, 0x72);
    case 0x62: // b
      out[to] = 0x08;
      return 1;
    case 0x66: // f
      out[to] = 0x0c;
      return 1;
    case 0x75: {
      // The plugin uses this form only for control characters; PostgreSQL's text types hold no NUL.
      const code = line[at + 1] === 0x30 && line[at + 2] === 0x30 ? hex(line, at + 3) : -1;
      if (code < 1 || code > 0x1f) return -1;
      if (code === TAB) return pair(out, to, 0x74);
      if (code === NEWLINE) return pair(out, to, 0x6e);
      if (code === RETURN) return pair(out, to, 0x72);
      out[to] = code;
      return 1;
    }
    case undefined:
    default:
      return -1;
  }
}

function pair(out: Buffer, to: number, letter: number): number {
  out[to] = BACKSLASH;
  out[to + 1] = letter;
  return 2;
}

/** Two hexadecimal digits; -1 for others. */
function hex(line: Buffer, at: number): number {
  const [one, other] = [digit(line[at]), digit(line[at + 1])];
  return one < 0 || other < 0 ? -1 : one * 16 + other;
}

function digit(c = 0): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  if (c >= 0x61 && c <= 0x66) return c - 0x57;
  return -1;
}
