/**
 * The rows of the source's schemas at a time when everything up to the confirmed LSN had been read under the right names; and
 * while they are in doubt, the rows that were found and the transaction id from which on changes carry the right names. It
 * outlives the lease: with a new one in each lease, changes that arrive between two leases would stay in doubt for ever, and a
 * table that is written all the time would be resynced without end.
 */
import type pg from 'pg';
import * as v from 'valibot';
import { isLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { sameRows, type SchemaRows } from '../catalog/schema-row.ts';

const row = v.union([
  v.tuple([v.string(), v.string(), v.string(), v.nullable(v.array(v.string()))]),
  // As an earlier version stored it.
  v.pipe(
    v.tuple([v.string(), v.string(), v.string()]),
    v.transform((one) => [...one, null] as const),
  ),
]);
const schema = v.pipe(
  v.array(row),
  v.transform(
    (list) =>
      new Map(
        list.map(([name, version, rights, tables]) => [name, { version, rights, tables }] as const),
      ),
  ),
);
const stored = (rows: SchemaRows): string =>
  JSON.stringify(
    [...rows].map(([name, { version, rights, tables }]) => [name, version, rights, tables]),
  );

/** Null if none are recorded. */
export async function readRecordedSchemas(
  target: pg.ClientBase,
  migration: Migration,
): Promise<SchemaRows | null> {
  const { rows } = await target.query<{ schemas: unknown }>(
    /* sql */ `select source_schemas as schemas from walferry.migration where id = $1`,
    [migration.id],
  );
  return v.parse(v.nullable(schema), rows[0]?.schemas ?? null);
}

/** @param only `first` keeps existing records. */
export async function recordSchemas(
  target: pg.ClientBase,
  migration: Migration,
  rows: SchemaRows,
  only: 'first' | 'always' = 'always',
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.migration set source_schemas = $2 where id = $1 and ($3 or source_schemas is null)`,
    [migration.id, stored(rows), only === 'always'],
  );
}

/** What is known of rows in doubt. */
export interface DoubtedRows {
  /** Transactions from this id on began to write after the rows were read. */
  readonly before: bigint;
  /** A position after all older ones have ended; null while one may be open. */
  readonly until: Lsn | null;
}

/** What an earlier lease recorded with exactly these rows; null if nothing. */
export async function readDoubted(
  target: pg.ClientBase,
  migration: Migration,
  rows: SchemaRows,
): Promise<DoubtedRows | null> {
  const found = await target.query<{
    schemas: unknown;
    before: string | null;
    until: string | null;
  }>(
    /* sql */ `select doubted_schemas as schemas, doubted_before::text as before, doubted_until::text as until
                 from walferry.migration where id = $1`,
    [migration.id],
  );
  const { schemas = null, before = null, until = null } = found.rows[0] ?? {};
  const doubted = v.parse(v.nullable(schema), schemas);
  if (doubted === null || before === null || !sameRows(doubted, rows)) return null;
  return { before: BigInt(before), until: isLsn(until) ? until : null };
}

export async function recordDoubted(
  target: pg.ClientBase,
  migration: Migration,
  rows: SchemaRows,
  { before, until }: DoubtedRows,
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.migration
                  set doubted_schemas = $2, doubted_before = $3, doubted_until = $4::pg_lsn where id = $1`,
    [migration.id, stored(rows), before.toString(), until],
  );
}
