/**
 * Values that one version prints and another reads as a different value, without an error: bytes of `"char"` above 127, which
 * servers from 15 on print as `\nnn` and older ones read as a backslash; and the largest interval, which servers from 17 on read
 * as `infinity`. The smallest interval, which every server rejects on input, is reported here with a clear message.
 */
import type pg from 'pg';
import type { Difference } from './column-difference.ts';
import type { Relation } from './relation.ts';
import { destinationOf } from './row-destination.ts';
import { INNER, reachable } from './type-graph.ts';

/** Major versions of both servers: 15 for 15.18. */
export interface Majors {
  readonly source: number;
  readonly target: number;
}

/** `"char"` and its array. */
const CHAR = [18, 1002];
/** `interval` and its array. */
const INTERVAL = [1186, 1187];
const ESCAPED_FROM = 15;
const INFINITE_FROM = 17;
/** As every server prints them in the `postgres` style; unchanged at any depth of an array, a row or a range. */
const EXTREMES = [
  '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807',
  '-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808',
] as const;
/** Common part of both. */
const EXTREME_PART = Buffer.from('2562047788:00:54.77580');

export async function readMajors(source: pg.ClientBase, target: pg.ClientBase): Promise<Majors> {
  return { source: await readMajor(source), target: await readMajor(target) };
}

async function readMajor(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ major: number }>(
    /* sql */ `select pg_catalog.current_setting('server_version_num')::int4 / 10000 as major`,
  );
  return rows[0]?.major ?? 0;
}

/** Whether the target may read the source's largest interval as infinity. */
export function mistakesIntervals({ source, target }: Majors): boolean {
  return source < INFINITE_FROM && target >= INFINITE_FROM;
}

/** Whether the target misreads the source's `"char"` values. */
export function mistakesChars({ source, target }: Majors): boolean {
  return source >= ESCAPED_FROM && target < ESCAPED_FROM;
}

/** Whether the two print `"char"` values differently. */
export function printsCharsUnlike({ source, target }: Majors): boolean {
  return source < ESCAPED_FROM !== target < ESCAPED_FROM;
}

/** Columns that contain a `"char"` at any depth, except generated ones. */
export function charColumns(relation: Pick<Relation, 'columns' | 'types'>): string[] {
  return columnsOf(relation, CHAR);
}

/** Columns that contain an interval at any depth, except generated ones. */
export function intervalColumns(relation: Pick<Relation, 'columns' | 'types'>): string[] {
  return columnsOf(relation, INTERVAL);
}

function columnsOf(
  { columns, types }: Pick<Relation, 'columns' | 'types'>,
  wanted: readonly number[],
): string[] {
  // Most columns have a built-in type; visiting the parts of each takes longer than a heartbeat interval with 100,000 tables.
  const holds = (oid: number) =>
    wanted.includes(oid) ||
    (types.has(oid) &&
      reachable(types, [oid]).some(({ inner }) => inner.some((one) => wanted.includes(one))));
  return columns.flatMap(({ name, typeOid, generated }) =>
    !generated && holds(typeOid) ? [name] : [],
  );
}

/** `"char"` columns that cannot be moved between these two servers. Queries their versions only if there are such columns. */
export async function charDifferences(
  source: pg.ClientBase,
  target: pg.ClientBase,
  relations: readonly Relation[],
): Promise<Difference[]> {
  const found = relations.filter((one) => one.kind === 'r' && charColumns(one).length > 0);
  if (found.length === 0 || !mistakesChars(await readMajors(source, target))) return [];
  return found.flatMap((one) =>
    charColumns(one).map((column) => {
      const { schema, name: table } = destinationOf(one);
      return { ...{ schema, table, column }, what: CHAR_MISTAKEN };
    }),
  );
}

const CHAR_MISTAKEN =
  'contains "char" values, whose bytes above 127 a target older than 15 reads as a backslash: change the type to text on the source, or exclude the table';

/** Whether the value's text contains an interval that a newer target reads as infinity or rejects. */
export function holdsExtremeInterval(text: string): boolean {
  return EXTREMES.some((one) => text.includes(one));
}

/** The message about such a value; never contains the value. */
export function extremeIntervalMessage(table: string, column: string): string {
  return `${table}: column ${column} contains the largest or smallest possible interval, which a target from ${INFINITE_FROM} on reads as infinity or rejects: change such values on the source, then resume`;
}

/** Cheap test on bytes: false only if {@link holdsExtremeInterval} is false. */
export function mayHoldExtremeInterval(bytes: Buffer): boolean {
  return bytes.includes(EXTREME_PART);
}

/**
 * SQL query: the names of a table's columns with intervals at any depth, as `name`.
 * @param relation expression for the table's oid.
 */
export function intervalColumnsOf(relation: string): string {
  return /* sql */ `
    select a.attname::text as name from pg_catalog.pg_attribute a
     where a.attrelid = ${relation} and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
       and exists (with recursive w (oid) as (
                     select a.atttypid union select i.oid from w cross join lateral (${INNER}) i where i.oid <> 0)
                   select from w where w.oid = ${INTERVAL[0]})
     order by a.attnum`;
}

/** SQL condition: whether the value's text contains such an interval. */
export function isExtremeInterval(expression: string): string {
  return EXTREMES.map((one) => `pg_catalog.strpos(${expression}::text, '${one}') > 0`).join(' or ');
}
