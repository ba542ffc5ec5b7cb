/** Fields of a row in COPY text format, byte by byte. */

export const TAB = 0x09;
export const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const CAPITAL_N = 0x4e;
/** Up to this size a loop copies faster than the runtime. */
const SHORT_BYTES = 64;

/** Appends bytes of one buffer to another. @returns the offset after them. */
export function append(to: Buffer, at: number, bytes: Buffer, from: number, end: number): number {
  // Most keys are a few bytes; a call into the runtime costs more than copying them.
  if (end - from > SHORT_BYTES) return at + bytes.copy(to, at, from, end);
  let place = at;
  for (let i = from; i < end; i += 1) to[place++] = bytes[i] ?? 0;
  return place;
}

export function isNull(bytes: Buffer, from: number, to: number): boolean {
  return to - from === 2 && bytes[from] === BACKSLASH && bytes[from + 1] === CAPITAL_N;
}

/** Tabs and newlines inside a value are escaped, so the first one ends the field. */
export function fieldEnd(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] !== TAB && bytes[at] !== NEWLINE) at += 1;
  return at;
}

/** The fields of a line of COPY text without nulls. */
export function fieldsOf(line: string): string[] {
  return line
    .slice(0, -1)
    .split('\t')
    .map((field) => field.replaceAll(/\\(.)/g, (_, letter: string) => UNESCAPED[letter] ?? letter));
}

const UNESCAPED: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };
