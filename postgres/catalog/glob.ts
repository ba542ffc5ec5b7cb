/**
 * One part of a pattern: `*` matches any run of characters, `?` exactly one. Pure. Not one regular expression, because `*a*a*a*b`
 * backtracks through every split of a long name, and thousands of patterns are matched against tens of thousands of tables.
 */

export type Glob = (name: string) => boolean;

/** The text between two stars. A RegExp only for `?`, which matches a character, not a UTF-16 unit. */
type Piece = string | RegExp;

/** Compiles a pattern part; all other characters match literally and case-sensitively. */
export function compileGlob(part: string): Glob {
  const pieces = part.split('*');
  const [start = ''] = pieces;
  if (pieces.length === 1) return whole(start);
  const end = pieces.at(-1) ?? '';
  const [first, last] = [piece(start, '^', ''), piece(end, '', '$')];
  const middle = pieces
    .slice(1, -1)
    .filter((one) => one !== '')
    .map((one) => piece(one, '', ''));
  return (name) => {
    // Most names fail here.
    if (typeof first === 'string' && !name.startsWith(first)) return false;
    if (typeof last === 'string' && !name.endsWith(last)) return false;
    let at = typeof first === 'string' ? first.length : after(name, first, 0);
    // Matching each piece as early as possible leaves the most room for the following ones.
    for (const one of middle) {
      if (at < 0) return false;
      at = after(name, one, at);
    }
    if (at < 0) return false;
    return typeof last === 'string' ? name.length - last.length >= at : after(name, last, at) >= 0;
  };
}

function whole(text: string): Glob {
  if (!text.includes('?')) return (name) => name === text;
  const expression = new RegExp(`^${source(text)}$`, 'su');
  return (name) => expression.test(name);
}

function piece(text: string, from: '^' | '', to: '$' | ''): Piece {
  return text.includes('?') ? new RegExp(`${from}${source(text)}${to}`, 'gsu') : text;
}

/** @returns the end of the first occurrence at or after `from`; -1 for none. */
function after(name: string, one: Piece, from: number): number {
  if (typeof one === 'string') {
    const found = name.indexOf(one, from);
    return found < 0 ? -1 : found + one.length;
  }
  one.lastIndex = from;
  return one.test(name) ? one.lastIndex : -1;
}

/** Use with flag `s`: a name may contain a line break. */
const source = (text: string): string =>
  text.replace(/[\\^$.|*+()[\]{}]/g, '\\$&').replaceAll('?', '.');
