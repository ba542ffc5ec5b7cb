/**
 * One part of a pattern: `*` for any run of characters, `?` for one. Pure. Not one regular expression: `*a*a*a*b` makes that try
 * every way to share a long name out among the stars, and thousands of patterns are held against each of ten thousands of tables.
 */

export type Glob = (name: string) => boolean;

/** What stands between two stars. An expression is there for `?` only, which is a character, not a UTF-16 unit. */
type Piece = string | RegExp;

/** Compiles it; every other character stands for itself, in its case. */
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
    // The first place for each leaves the most room for those behind it.
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

/** @returns where the first occurrence at or behind `from` ends; -1 for none. */
function after(name: string, one: Piece, from: number): number {
  if (typeof one === 'string') {
    const found = name.indexOf(one, from);
    return found < 0 ? -1 : found + one.length;
  }
  one.lastIndex = from;
  return one.test(name) ? one.lastIndex : -1;
}

/** Flag `s` goes with it: a name may hold a line break. */
const source = (text: string): string =>
  text.replace(/[\\^$.|*+()[\]{}]/g, '\\$&').replaceAll('?', '.');
