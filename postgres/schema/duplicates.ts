/**
 * The query that lists the rows which a unique index refuses. Made from pg_dump's statement, because the index is not
 * there: what is listed has to be grouped by the same expressions and collations. Pure.
 */

const CONSTRAINT =
  /^ALTER TABLE (?:ONLY )?(.+?)\s+ADD CONSTRAINT .+? (?:UNIQUE|PRIMARY KEY)( NULLS NOT DISTINCT)? \(/s;
const INDEX = /^CREATE UNIQUE INDEX .+? ON (?:ONLY )?(.+?) USING btree \(/s;

/** @returns null for a statement that is not understood: no query is better than a wrong one. */
export function duplicatesOf(sql: string): string | null {
  const begin = CONSTRAINT.exec(sql) ?? INDEX.exec(sql);
  const table = begin?.[1];
  if (!begin || table === undefined) return null;
  const list = upToClosing(sql, begin[0].length);
  if (list === null) return null;
  const found = elements(list).map(keyOf);
  const keys = found.flatMap((key) => key ?? []);
  if (keys.length === 0 || keys.length < found.length) return null;
  const [first = ''] = sql.slice(begin[0].length + list.length + 1).split(/;\s*\n|;$/);
  const predicate = / WHERE (.+)$/s.exec(first)?.[1];
  // Nulls are distinct unless the index says otherwise: rows with one are no duplicates.
  const distinct = !`${begin[0]}${first}`.includes(' NULLS NOT DISTINCT');
  const where = [
    ...(predicate === undefined ? [] : [predicate]),
    ...(distinct ? keys.map((key) => `${key} is not null`) : []),
  ];
  const condition = where.length === 0 ? '' : ` where ${where.join(' and ')}`;
  const positions = keys.map((_, i) => i + 1).join(', ');
  return `select ${keys.join(', ')}, count(*), array_agg(ctid) from only ${table}${condition} group by ${positions} having count(*) > 1`;
}

/** Text from a position behind an opening parenthesis to its closing one; null when there is none. */
function upToClosing(sql: string, from: number): string | null {
  let depth = 1;
  for (const { text, at } of tokens(sql, from)) {
    if (text === '(') depth += 1;
    if (text === ')') depth -= 1;
    if (depth === 0) return sql.slice(from, at);
  }
  return null;
}

function elements(list: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let begin = 0;
  for (const { text, at } of tokens(list, 0)) {
    if (text === '(') depth += 1;
    if (text === ')') depth -= 1;
    if (text === ',' && depth === 0) {
      found.push(list.slice(begin, at).trim());
      begin = at + 1;
    }
  }
  return [...found, list.slice(begin).trim()];
}

const NAME = String.raw`(?:"(?:[^"]|"")+"|[\w$]+)`;
const QUALIFIED = new RegExp(String.raw`^${NAME}(?:\.${NAME})*`);
/** Behind the key itself: collation, operator class, direction, place of nulls. Only the first belongs to the key. */
const SUFFIX = new RegExp(
  String.raw`^( COLLATE ${NAME}(?:\.${NAME})?)?(?: (?!ASC|DESC|NULLS)${NAME}(?:\.${NAME})?)?(?: (?:ASC|DESC))?(?: NULLS (?:FIRST|LAST))?$`,
);

/** Column or expression of an element, with its collation. */
function keyOf(element: string): string | null {
  let end = QUALIFIED.exec(element)?.[0].length ?? 0;
  if (element[end] === '(') {
    const inner = upToClosing(element, end + 1);
    if (inner === null) return null;
    end += inner.length + 2;
  }
  const suffix = SUFFIX.exec(element.slice(end));
  if (end === 0 || suffix === null) return null;
  return `${element.slice(0, end)}${suffix[1] ?? ''}`;
}

/** Parentheses and commas outside quotes. */
function* tokens(sql: string, from: number): Generator<{ text: string; at: number }> {
  let quote: string | null = null;
  for (let at = from; at < sql.length; at += 1) {
    const text = sql[at] ?? '';
    // A doubled quote ends and begins again, which comes to the same.
    if (quote !== null) quote = text === quote ? null : quote;
    else if (text === '"' || text === "'") quote = text;
    else if (text === '(' || text === ')' || text === ',') yield { text, at };
  }
}
