/**
 * How a row becomes a number. The text of a row is what its types' output functions print under the pinned settings, so it is the
 * same on both sides, in all versions and under all collations. The server's own record hash is cheaper and wrong: it takes 1.0
 * for 1.00, -0 for 0 and `1 day` for `24:00`, and json, point and others have none.
 *
 * A bucket collects rows by the hash of their key. Its sums add up over pieces, workers and partitions in any order, and count
 * duplicates. 32 bits a sum: those of 2^31 rows fit into a bigint.
 */
import pg from 'pg';
import type { TableShape } from '../store/verification-shape.ts';
import type { TableName } from '../catalog/selection.ts';
import { quoted } from '../catalog/table-name.ts';

export const BUCKETS = 256;
/** Different for rows and keys, so that a bucket is no part of a row's hash. */
const ROW_SEED = 0;
const KEY_SEED = 1;

/** `server`: the server's own 64-bit hash; `md5`: for servers whose hashes differ (another byte order). */
export type Hashing = 'server' | 'md5';

/** SQL: whether both servers hash alike shows in this number. */
export const HASH_PROBE = /* sql */ `
  select pg_catalog.hashtextextended('walferry' collate pg_catalog."C", ${KEY_SEED})::text as hash`;

/** Which rows of a table are read, and how. */
export interface Reading {
  readonly table: TableName;
  readonly shape: Pick<TableShape, 'columns' | 'key'>;
  readonly hashing: Hashing;
  /** SQL conditions on the table's rows. */
  readonly conditions: readonly string[];
}

/** SQL: `bucket`, `rows`, `low`, `high` of the rows that are read. */
export function sumsOf(reading: Reading): string {
  return /* sql */ `
    select ${BUCKET} as bucket, count(*)::text as rows,
           sum(r.hash & 4294967295)::text as low, sum((r.hash >> 32) & 4294967295)::text as high
      from ${hashed(reading)} r group by 1`;
}

/** SQL: `key` (JSON texts of the key's columns, or the hash of the row) and `hash` of the rows in these buckets, by key. */
export function keysOf(reading: Reading, buckets: readonly number[]): string {
  const key = reading.shape.key === null ? 'r.hash::text' : 'r.names';
  return /* sql */ `
    select ${key} as key, r.hash::text as hash from ${hashed(reading)} r
     where ${BUCKET} in (${buckets.join(', ')}) order by (${key}) collate pg_catalog."C"`;
}

const BUCKET = /* sql */ `(r.place & ${BUCKETS - 1})::int4`;

/** SQL: the same of all rows that are read, in no order, and not more than these. */
export function someRowsOf(reading: Reading, most: number): string {
  return /* sql */ `select r.names as key, r.hash::text as hash from ${hashed(reading)} r limit ${most}`;
}

/** `offset 0`: without it the planner evaluates the hash once for each use of it, which is four times. */
function hashed({ table, shape: { columns, key }, hashing, conditions }: Reading): string {
  const hash = hashOf(rowText(columns), hashing, ROW_SEED);
  const inner =
    key === null
      ? /* sql */ `select ${hash} as hash`
      : /* sql */ `select ${hash} as hash, ${hashOf(rowText(key), hashing, KEY_SEED)} as place, ${keyNames(key)} as names`;
  const where = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`;
  const rows = /* sql */ `(${inner} from only ${quoted(table)} t${where} offset 0)`;
  // Without a key the whole row decides.
  return key === null ? /* sql */ `(select h.hash, h.hash as place from ${rows} h)` : rows;
}

function rowText(columns: readonly string[]): string {
  return `row(${columns.map((name) => `t.${pg.escapeIdentifier(name)}`).join(', ')})::text collate pg_catalog."C"`;
}

/** The output function's text: a cast to text may be one that an application defined. */
function keyNames(key: readonly string[]): string {
  const texts = key.map((name) => `pg_catalog.format('%s', t.${pg.escapeIdentifier(name)})`);
  return `pg_catalog.to_json(array[${texts.join(', ')}]::text[])::text`;
}

function hashOf(text: string, hashing: Hashing, seed: number): string {
  if (hashing === 'server') return `pg_catalog.hashtextextended(${text}, ${seed})`;
  return `('x' || pg_catalog.substr(pg_catalog.md5('${seed}' || (${text})), 1, 16))::bit(64)::int8`;
}

/** SQL condition: the row's whole hash is one of these. */
export function rowHash(columns: readonly string[], hashing: Hashing): string {
  return hashOf(rowText(columns), hashing, ROW_SEED);
}
