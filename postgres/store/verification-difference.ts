/** Rows that differ, by key, as a verification stores them. A key is a row value: it stays in the databases. */
import type pg from 'pg';
import * as v from 'valibot';
import { MOST_DIFFERENT_KEYS } from '../../contract/verification.ts';
import { namedTexts, type NamedTexts } from './named-text.ts';
import type { Verified } from './verification.ts';

export type DifferenceKind = 'missing' | 'extra' | 'different';

export interface RowDifference {
  /** Texts of the key's columns by name; null in a table without a key. */
  readonly key: NamedTexts | null;
  /** Of the whole row, in a table without a key. */
  readonly hash: string | null;
  /** From the target's view: `missing` there, `extra` there. */
  readonly kind: DifferenceKind;
  readonly sourceRows: number;
  readonly targetRows: number;
}

const storedKey = v.nullable(namedTexts);

/**
 * Replaces the table's differences, and makes it `different`, or `equal` if there are none.
 * @param counted all that differ, stored or not; `more`: not all of them are stored.
 */
export async function storeDifferences(
  target: pg.ClientBase,
  verified: Verified,
  table: number,
  found: {
    readonly differences: readonly RowDifference[];
    readonly counted: number;
    readonly more: boolean;
  },
): Promise<void> {
  const { migration, verification } = verified;
  const stored = found.differences.slice(0, MOST_DIFFERENT_KEYS);
  await target.query(
    /* sql */ `
    delete from walferry.verification_difference where migration = $1 and verification = $2 and table_id = $3`,
    [migration.id, verification, table],
  );
  await target.query(
    /* sql */ `
    insert into walferry.verification_difference
      (migration, verification, table_id, number, key, hash, kind, source_rows, target_rows)
    select $1, $2, $3, d.at, d.key, d.hash, d.kind, d.here, d.there
      from unnest($4::jsonb[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[])
             with ordinality as d (key, hash, kind, here, there, at)`,
    [
      ...[migration.id, verification, table],
      stored.map(({ key }) => (key === null ? null : JSON.stringify(key))),
      stored.map(({ hash }) => hash),
      stored.map(({ kind }) => kind),
      stored.map(({ sourceRows }) => sourceRows),
      stored.map(({ targetRows }) => targetRows),
    ],
  );
  await target.query(
    /* sql */ `
    update walferry.verification_table
       set state = case when $4::bigint = 0 then 'equal' else 'different' end, keys = $4, more = $5
     where migration = $1 and verification = $2 and id = $3`,
    [migration.id, verification, table, found.counted, found.more],
  );
}

/** The stored differences of a table, in the order in which they were found. */
export async function readDifferences(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  table: number,
): Promise<RowDifference[]> {
  const { rows } = await target.query<{
    key: unknown;
    hash: string | null;
    kind: DifferenceKind;
    here: string;
    there: string;
  }>(
    /* sql */ `
    select key, hash::text, kind, source_rows::text as here, target_rows::text as there
      from walferry.verification_difference
     where migration = $1 and verification = $2 and table_id = $3 order by number`,
    [migration.id, verification, table],
  );
  return rows.map(({ key, hash, kind, here, there }) => ({
    ...{ key: v.parse(storedKey, key), hash, kind },
    ...{ sourceRows: Number(here), targetRows: Number(there) },
  }));
}
