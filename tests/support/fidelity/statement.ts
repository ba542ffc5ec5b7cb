/**
 * Splits SQL text into single statements, each with the line it begins on. Knows strings, quoted names, dollar
 * quotes, comments (nested too), parentheses (a rule's list of statements) and `begin atomic … end` bodies; psql
 * splits at the same places.
 */

export interface Statement {
  readonly sql: string;
  /** Line of the file, from 1. */
  readonly line: number;
}

/** A construct in which a semicolon does not end the statement, in the order of trial. */
const TOKEN = new RegExp(
  [
    String.raw`(?<comment>--[^\n]*)`,
    String.raw`(?<block>/\*)`,
    String.raw`(?<escape>\b[eE]'(?:[^'\\]|\\[^]|'')*')`,
    String.raw`(?<text>'(?:[^']|'')*')`,
    String.raw`(?<name>"(?:[^"]|"")*")`,
    String.raw`(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$)`,
    String.raw`(?<word>[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*)`,
    String.raw`(?<sign>[^])`,
  ].join('|'),
  'y',
);

/**
 * @param firstLine line of the file that `text` begins on.
 * @throws Error naming the line of a string, comment or statement that does not end.
 */
export function splitStatements(text: string, firstLine: number): Statement[] {
  const statements: Statement[] = [];
  let begin: number | null = null;
  let parentheses = 0;
  let words: string[] = [];
  let bodies = 0;
  for (let at = 0; at < text.length;) {
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(text)?.groups ?? {};
    const { comment, block, dollar, word, sign } = groups;
    const start = at;
    if (comment !== undefined) {
      at = TOKEN.lastIndex;
      continue;
    }
    if (block !== undefined) {
      at = endOfComment(text, at, lineAt(text, firstLine, at));
      continue;
    }
    at = TOKEN.lastIndex;
    if (sign !== undefined && /\s/.test(sign)) continue;
    if (sign === "'" || sign === '"') {
      throw new Error(`line ${lineAt(text, firstLine, start)}: a ${sign} that is not closed`);
    }
    begin ??= start;
    if (dollar !== undefined) {
      const end = text.indexOf(dollar, at);
      if (end < 0) {
        throw new Error(`line ${lineAt(text, firstLine, start)}: ${dollar} is not closed`);
      }
      at = end + dollar.length;
    } else if (word !== undefined) {
      const lower = word.toLowerCase();
      if (words.length < 4) words.push(lower);
      // Only in the body of a routine: `begin` opens a transaction elsewhere, and `case` ends inside of its statement.
      if (!/^create (?:or replace )?(?:function|procedure)/.test(words.join(' '))) continue;
      if (lower === 'atomic' || (bodies > 0 && lower === 'case')) bodies += 1;
      else if (bodies > 0 && lower === 'end') bodies -= 1;
    } else if (sign === '(') parentheses += 1;
    else if (sign === ')') parentheses -= 1;
    else if (sign === ';' && parentheses <= 0 && bodies === 0) {
      if (start > begin) {
        statements.push({ sql: text.slice(begin, start), line: lineAt(text, firstLine, begin) });
      }
      begin = null;
      parentheses = 0;
      words = [];
    }
  }
  if (begin !== null) {
    throw new Error(
      `line ${lineAt(text, firstLine, begin)}: the last statement of the section does not end with a semicolon`,
    );
  }
  return statements;
}

function endOfComment(text: string, from: number, line: number): number {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = from;
  for (let depth = 0; ;) {
    const found = edge.exec(text);
    if (!found) throw new Error(`line ${line}: a comment that is not closed`);
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
}

function lineAt(text: string, firstLine: number, at: number): number {
  let line = firstLine;
  for (let i = text.indexOf('\n'); i >= 0 && i < at; i = text.indexOf('\n', i + 1)) line += 1;
  return line;
}
