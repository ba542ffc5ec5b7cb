/** Rows in PostgreSQL's COPY text format. Pure. */

const SPECIAL = /[\\\t\n\r\b\f\v]/;
const EVERY_SPECIAL = /[\\\t\n\r\b\f\v]/g;

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  // COPY would take a bare carriage return for a line end.
  '\r': '\\r',
  '\b': '\\b',
  '\f': '\\f',
  '\v': '\\v',
};

/** One field. Null is `\N`; the text `\N` becomes `\\N`, and `\.` (end of data) `\\.`. */
function copyField(value: string | null): string {
  if (value === null) return '\\N';
  if (!SPECIAL.test(value)) return value;
  return value.replace(EVERY_SPECIAL, (character) => ESCAPES[character] ?? character);
}

/** One line, including its line end. */
export function copyLine(values: readonly (string | null)[]): string {
  let line = '';
  for (let index = 0; index < values.length; index += 1) {
    if (index > 0) line += '\t';
    line += copyField(values[index] ?? null);
  }
  return `${line}\n`;
}

/** Approximate size of a piece: fewer protocol messages, without a copy of the whole set. */
const PIECE_CHARACTERS = 262_144;

/** Gathers lines into larger pieces. */
export function* copyPieces(lines: Iterable<string>): Generator<string> {
  let piece = '';
  for (const line of lines) {
    piece += line;
    if (piece.length >= PIECE_CHARACTERS) {
      yield piece;
      piece = '';
    }
  }
  if (piece !== '') yield piece;
}
