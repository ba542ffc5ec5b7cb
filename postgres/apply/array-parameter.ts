/** Fields of rows in COPY text format as array parameters of a statement, byte by byte. */
import type { Flight } from '../session/flight.ts';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const CAPITAL_N = 0x4e;

/** Upper bound for the bytes of the arrays: each byte may need an escape, and each field quotes and a comma. */
export function arraysSize(bytes: number, rows: number, columns: number): number {
  return bytes * 2 + (rows * 5 + 8) * columns;
}

/** Writes the next field of each row as one array parameter, and moves the cursors past it. */
export function writeArray(flight: Flight, bytes: Buffer, cursors: Int32Array, rows: number): void {
  const from = flight.parameter();
  const out = flight.buffer;
  let to = from;
  out[to++] = OPEN_BRACE;
  for (let row = 0; row < rows; row += 1) {
    if (row > 0) out[to++] = COMMA;
    let at = cursors[row] ?? 0;
    if (bytes[at] === BACKSLASH && bytes[at + 1] === CAPITAL_N) {
      out[to++] = CAPITAL_N;
      out[to++] = 0x55; // U
      out[to++] = 0x4c; // L
      out[to++] = 0x4c; // L
      cursors[row] = at + 3;
      continue;
    }
    out[to++] = QUOTE;
    for (;;) {
      let c = bytes[at++] ?? NEWLINE;
      if (c === TAB || c === NEWLINE) break;
      if (c === BACKSLASH) {
        c = bytes[at++] ?? BACKSLASH;
        if (c === BACKSLASH) out[to++] = BACKSLASH;
        else c = c === 0x6e ? NEWLINE : c === 0x74 ? TAB : 0x0d;
      } else if (c === QUOTE) out[to++] = BACKSLASH;
      out[to++] = c;
    }
    out[to++] = QUOTE;
    cursors[row] = at;
  }
  out[to++] = CLOSE_BRACE;
  flight.endParameter(from, to);
}
