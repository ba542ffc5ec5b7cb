/** Wording of findings: lists of limited length, statements that can be pasted. */
import pg from 'pg';
import type { TableName } from '../catalog/selection.ts';

/** A failure's message is limited to 4 KiB, and a thousand names are of no use. */
const NAMES_SHOWN = 10;

/** `a, b, c and 4 more`. */
export function list(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  const shown = names.slice(0, NAMES_SHOWN).join(', ');
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** Statements, each with its semicolon, for pasting into psql. */
export function statements(sql: readonly string[]): string {
  const more = sql.length - NAMES_SHOWN;
  const shown = sql.slice(0, NAMES_SHOWN).map((one) => `${one};`);
  return `${shown.join(' ')}${more > 0 ? ` (and so on for ${more} more)` : ''}`;
}

/** Patterns for pasting into a list of the input; limited in number. */
export function patternsOf(tables: readonly TableName[]): string {
  return tables.slice(0, NAMES_SHOWN).map(patternOf).join(', ');
}

/** A JSON string that selects exactly this table. */
function patternOf({ schema, name }: TableName): string {
  const part = (text: string) =>
    /^[\p{L}\p{N}_$-]+$/u.test(text) ? text : `"${text.replaceAll('"', '""')}"`;
  return JSON.stringify(`${part(schema)}.${part(name)}`);
}

export { nameOf } from '../catalog/table-name.ts';

/** For SQL, quoted only if needed: `public."Orders"`. */
export function sqlName({ schema, name }: TableName): string {
  return `${identifier(schema)}.${identifier(name)}`;
}

/** Quotes a name only if needed, because quoted names are hard to read. */
export function identifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !KEY_WORDS.has(name) ? name : pg.escapeIdentifier(name);
}

/** Reserved words that may occur as names. */
const KEY_WORDS = new Set(
  (
    'all analyse analyze and any array as asc authorization between binary both case cast check collate collation ' +
    'column concurrently constraint create cross default deferrable desc distinct do else end except false fetch for ' +
    'foreign freeze from full grant group having ilike in initially inner intersect into is isnull join lateral ' +
    'leading left like limit natural not notnull null offset on only or order outer overlaps placing primary ' +
    'references returning right select session_user similar some symmetric table tablesample then to trailing true ' +
    'union unique user using variadic verbose when where window with'
  ).split(' '),
);

/** `1 table`, `12,000 tables`. */
export function counted(number: number, word: string): string {
  return `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`;
}

const BYTE_UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;

/** As the server prints sizes (powers of 1024): `1.5 GB`. */
export function size(bytes: number): string {
  const power = Math.min(BYTE_UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const number = bytes / 1024 ** power;
  return `${number < 10 && power > 0 ? number.toFixed(1) : Math.round(number)} ${BYTE_UNITS[power] ?? ''}`;
}

/** A readable duration: `45 s`, `12 min`, `3.5 h`, `9 days`. */
export function span(seconds: number): string {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
