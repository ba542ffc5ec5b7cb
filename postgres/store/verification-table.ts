/**
 * The tables of a verification and their states: `pending` and `summing` have to be summed up at one anchor; then they are
 * `equal`, or `suspect` until the keys of rows that differ are found (`different`) or refuted (`equal`); `skipped` ones have a
 * reason.
 */
import type pg from 'pg';
import * as v from 'valibot';
import type { Verified } from './verification.ts';
import { tableShape, type TableShape } from './verification-shape.ts';
import type { TableName } from '../catalog/selection.ts';

export type VerifiedState = 'pending' | 'summing' | 'equal' | 'suspect' | 'different' | 'skipped';

export interface VerifiedTable extends TableName {
  /** Number within the verification. */
  readonly id: number;
  readonly state: VerifiedState;
  readonly anchor: string | null;
  /** Anchors at which it was begun. */
  readonly attempts: number;
  /** Null for a skipped table. */
  readonly shape: TableShape | null;
  /** Buckets of a suspect table whose sums differ. */
  readonly buckets: readonly number[];
  readonly rows: number;
  readonly bytes: number;
  readonly keys: number;
  readonly more: boolean;
  readonly reason: string | null;
}

interface Row extends TableName {
  id: number;
  state: VerifiedState;
  anchor: string | null;
  attempts: number;
  shape: unknown;
  buckets: number[] | null;
  rows: string;
  bytes: string;
  keys: string;
  more: boolean;
  reason: string | null;
}

/** All tables, or some, in the order of their numbers. */
export async function readVerifiedTables(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  ids: readonly number[] | null = null,
): Promise<VerifiedTable[]> {
  const { rows } = await target.query<Row>(
    /* sql */ `
    select id, schema_name as schema, table_name as name, state, anchor, attempts, shape, buckets,
           rows::text, bytes::text, keys::text, more, reason
      from walferry.verification_table
     where migration = $1 and verification = $2 and ($3::integer[] is null or id = any($3)) order by id`,
    [migration.id, verification, ids],
  );
  return rows.map((row) => ({
    ...row,
    shape: row.shape === null ? null : v.parse(tableShape, row.shape),
    buckets: row.buckets ?? [],
    rows: Number(row.rows),
    bytes: Number(row.bytes),
    keys: Number(row.keys),
  }));
}

/** A table to be summed up at an anchor, or one that cannot be compared. */
export interface PlannedVerification extends TableName {
  readonly id: number;
  readonly shape: TableShape | null;
  readonly reason: string | null;
  readonly pieces: number;
  readonly bytes: number;
}

/**
 * Starts these tables from the beginning at the anchor, without the pieces and sums of an earlier one. Call it with the
 * verification locked, before their new pieces are inserted.
 */
export async function restartTables(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  anchor: string,
  tables: readonly PlannedVerification[],
): Promise<void> {
  await dropPieces(
    target,
    { migration, verification },
    tables.map(({ id }) => id),
  );
  await target.query(
    /* sql */ `
    insert into walferry.verification_table as t
      (migration, verification, id, schema_name, table_name, shape, state, anchor, attempts, pieces_left, bytes, reason)
    select $1, $2, n.id, n.schema, n.name, n.shape, case when n.reason is null then 'summing' else 'skipped' end,
           case when n.reason is null then $3 end, 1, n.pieces, n.bytes, n.reason
      from unnest($4::integer[], $5::text[], $6::text[], $7::jsonb[], $8::text[], $9::integer[], $10::bigint[])
             as n (id, schema, name, shape, reason, pieces, bytes)
    on conflict (migration, verification, id) do update
       set shape = excluded.shape, state = excluded.state, anchor = excluded.anchor, buckets = null,
           pieces_left = excluded.pieces_left, bytes = excluded.bytes, rows = 0, attempts = t.attempts + 1,
           reason = excluded.reason`,
    [
      ...[migration.id, verification, anchor],
      tables.map(({ id }) => id),
      tables.map(({ schema }) => schema),
      tables.map(({ name }) => name),
      tables.map(({ shape }) => (shape === null ? null : JSON.stringify(shape))),
      tables.map(({ reason }) => reason),
      tables.map(({ pieces }) => pieces),
      tables.map(({ bytes }) => bytes),
    ],
  );
}

/** Bundles keep their other tables: their marks count for those only. */
async function dropPieces(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  ids: readonly number[],
): Promise<void> {
  const given = [migration.id, verification, ids];
  await target.query(
    /* sql */ `
    delete from walferry.verification_sum
     where migration = $1 and verification = $2 and table_id = any($3)`,
    given,
  );
  await target.query(
    /* sql */ `
    delete from walferry.verification_piece
     where migration = $1 and verification = $2 and tables <@ $3::integer[]`,
    given,
  );
  await target.query(
    /* sql */ `
    update walferry.verification_piece p
       set tables = array(select t from unnest(p.tables) t where t <> all($3::integer[]))
     where migration = $1 and verification = $2 and tables && $3::integer[]`,
    given,
  );
}

/**
 * Compares the sums of the tables whose pieces are all done: they become `equal` or `suspect`. The sums are removed.
 * @returns how many became suspect.
 */
export async function settleTables(
  target: pg.ClientBase,
  { migration, verification }: Verified,
): Promise<number> {
  const { rows } = await target.query<{ suspect: number }>(
    /* sql */ `
    with finished as (
      select id from walferry.verification_table
       where migration = $1 and verification = $2 and state = 'summing' and pieces_left = 0 for update
    ), summed as (
      select s.table_id, s.side, u.bucket, sum(u.rows) as rows, sum(u.low) as low, sum(u.high) as high
        from walferry.verification_sum s
        join finished f on f.id = s.table_id
       cross join lateral unnest(s.buckets, s.rows, s.low, s.high) as u (bucket, rows, low, high)
       where s.migration = $1 and s.verification = $2
       group by 1, 2, 3
    ), differing as (
      select coalesce(a.table_id, b.table_id) as table_id,
             array_agg(coalesce(a.bucket, b.bucket) order by coalesce(a.bucket, b.bucket)) as buckets
        from (select * from summed where side = 'source') a
        full join (select * from summed where side = 'target') b on b.table_id = a.table_id and b.bucket = a.bucket
       where (a.rows, a.low, a.high) is distinct from (b.rows, b.low, b.high)
       group by 1
    ), counted as (
      select table_id, sum(rows) as rows from summed where side = 'source' group by 1
    ), removed as (
      delete from walferry.verification_sum s using finished f
       where s.migration = $1 and s.verification = $2 and s.table_id = f.id
    ), settled as (
      update walferry.verification_table t
         set state = case when d.buckets is null then 'equal' else 'suspect' end, buckets = d.buckets,
             rows = coalesce(c.rows, 0)
        from finished f left join differing d on d.table_id = f.id left join counted c on c.table_id = f.id
       where t.migration = $1 and t.verification = $2 and t.id = f.id
      returning t.state
    )
    select count(*) filter (where state = 'suspect')::integer as suspect from settled`,
    [migration.id, verification],
  );
  return rows[0]?.suspect ?? 0;
}

/** Another anchor compares them from the start: they were rewritten or locked after this one. */
export async function postponeTables(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  anchor: string,
  ids: readonly number[],
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.verification_table set state = 'pending'
     where migration = $1 and verification = $2 and id = any($4) and state = 'summing' and anchor = $3`,
    [migration.id, verification, anchor, ids],
  );
}

/**
 * What is left of a verification at an anchor: `something`, also before the first plan; `elsewhere`: only tables that need another
 * anchor; `nothing`.
 */
export async function readLeft(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  anchor: string,
): Promise<'something' | 'elsewhere' | 'nothing'> {
  const { rows } = await target.query<{ all: number; here: number; left: number }>(
    /* sql */ `
    select count(*)::integer as all,
           count(*) filter (where state = 'summing' and anchor = $3 and pieces_left > 0)::integer as here,
           count(*) filter (where state = 'pending' or state = 'summing' and pieces_left > 0)::integer as left
      from walferry.verification_table where migration = $1 and verification = $2`,
    [migration.id, verification, anchor],
  );
  const { all, here, left } = rows[0] ?? { all: 0, here: 0, left: 0 };
  if (all > 0 && left === 0) return 'nothing';
  const { rowCount: planned } = await target.query(
    /* sql */ `
    select from walferry.verification_anchor where migration = $1 and verification = $2 and anchor = $3`,
    [migration.id, verification, anchor],
  );
  return planned === 0 || here > 0 ? 'something' : 'elsewhere';
}

/** Records that a table is not compared. */
export async function skipTables(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  ids: readonly number[],
  reason: string,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.verification_table set state = 'skipped', reason = $4
     where migration = $1 and verification = $2 and id = any($3)`,
    [migration.id, verification, ids, reason],
  );
}
