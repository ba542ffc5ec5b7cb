/** Pieces of a verification: block ranges of one side, or whole small tables, with a mark when their sums are stored. */
import type pg from 'pg';
import type { Verified } from './verification.ts';

export type ComparedSide = 'source' | 'target';

export interface Piece {
  readonly side: ComparedSide;
  /** Numbers of the tables within the verification. */
  readonly tables: readonly number[];
  /** Index in the shape's list of the side; null: all of them. */
  readonly part: number | null;
  readonly firstBlock: number | null;
  /** First block not in the piece; null: to the end. */
  readonly endBlock: number | null;
  readonly pages: number;
  readonly bytes: number;
}

export interface PieceRow extends Piece {
  readonly id: number;
  readonly anchor: string;
  readonly done: boolean;
}

/** Appends pieces to the existing ones. */
export async function insertPieces(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  anchor: string,
  pieces: readonly Piece[],
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.verification_piece
      (migration, verification, id, anchor, side, tables, part, first_block, end_block, pages, bytes)
    select $1, $2, last.id + new.at, $3, new.side, new.tables::integer[], new.part, new.first, new.finish, new.pages, new.bytes
      from unnest($4::text[], $5::text[], $6::integer[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
             with ordinality as new (side, tables, part, first, finish, pages, bytes, at),
           (select coalesce(max(id), 0) as id from walferry.verification_piece
             where migration = $1 and verification = $2) last`,
    [
      ...[migration.id, verification, anchor],
      pieces.map(({ side }) => side),
      // As text: PostgreSQL's arrays of arrays must be rectangular.
      pieces.map(({ tables }) => `{${tables.join(',')}}`),
      pieces.map(({ part }) => part),
      pieces.map(({ firstBlock }) => firstBlock),
      pieces.map(({ endBlock }) => endBlock),
      pieces.map(({ pages }) => pages),
      pieces.map(({ bytes }) => Math.round(bytes)),
    ],
  );
}

interface Row {
  id: number;
  anchor: string;
  side: ComparedSide;
  tables: number[];
  part: number | null;
  first: string | null;
  finish: string | null;
  pages: string;
  bytes: string;
  done: boolean;
}

/** The pieces from `first` to `last`, inclusive, in the order of their numbers. */
export async function readPieces(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  range: { readonly first: number; readonly last: number },
): Promise<PieceRow[]> {
  const { rows } = await target.query<Row>(
    /* sql */ `
    select id, anchor, side, tables, part, first_block::text as first, end_block::text as finish, pages::text, bytes::text,
           done_at is not null as done
      from walferry.verification_piece
     where migration = $1 and verification = $2 and id between $3 and $4 order by id`,
    [migration.id, verification, range.first, range.last],
  );
  return rows.map(({ first, finish, ...row }) => ({
    ...row,
    firstBlock: first === null ? null : Number(first),
    endBlock: finish === null ? null : Number(finish),
    pages: Number(row.pages),
    bytes: Number(row.bytes),
  }));
}

/** Unfinished pieces at an anchor, in the order of their numbers. */
export async function readPendingPieces(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  anchor: string,
): Promise<{ readonly id: number; readonly relations: readonly number[] }[]> {
  const { rows } = await target.query<{ id: number; relations: number[] }>(
    /* sql */ `
    select id, tables as relations from walferry.verification_piece
     where migration = $1 and verification = $2 and anchor = $3 and done_at is null order by id`,
    [migration.id, verification, anchor],
  );
  return rows;
}

/** How many pieces there are, and how many are done. */
export async function countPieces(
  target: pg.ClientBase,
  { migration, verification }: Verified,
): Promise<{ readonly pieces: number; readonly done: number }> {
  const { rows } = await target.query<{ pieces: number; done: number }>(
    /* sql */ `
    select count(*)::integer as pieces, count(done_at)::integer as done
      from walferry.verification_piece where migration = $1 and verification = $2`,
    [migration.id, verification],
  );
  return rows[0] ?? { pieces: 0, done: 0 };
}

/** Sums of one table's rows in one piece, by bucket. */
export interface TableSums {
  readonly table: number;
  readonly buckets: readonly number[];
  readonly rows: readonly bigint[];
  readonly low: readonly bigint[];
  readonly high: readonly bigint[];
}

/**
 * Marks a piece and stores its sums in one transaction. An attempt that wakes up after its piece was done, or after another anchor
 * took over, changes nothing: the anchor's id and the mark are its fence.
 * @param sums of the tables that were read; another table of the piece was postponed before.
 * @returns whether the piece was marked.
 */
export async function markPiece(
  target: pg.ClientBase,
  { migration, verification }: Verified,
  { id, anchor, side }: Pick<PieceRow, 'id' | 'anchor' | 'side'>,
  { sums, worker }: { readonly sums: readonly TableSums[]; readonly worker: string },
): Promise<boolean> {
  const total = sums.flatMap(({ rows }) => rows).reduce((sum, one) => sum + one, 0n);
  const { rows } = await target.query<{ marked: boolean }>(
    /* sql */ `
    with marked as (
      update walferry.verification_piece set done_at = clock_timestamp(), rows = $5, worker = $6
       where migration = $1 and verification = $2 and id = $3 and anchor = $4 and done_at is null
      returning tables
    ), wanted as (
      -- In the order of their numbers: two pieces with the same tables must not lock them crosswise.
      select t.id from walferry.verification_table t, marked
       where t.migration = $1 and t.verification = $2 and t.id = any(marked.tables) and t.anchor = $4 and t.state = 'summing'
       order by t.id for update of t
    ), counted as (
      update walferry.verification_table t set pieces_left = t.pieces_left - 1
        from wanted where t.migration = $1 and t.verification = $2 and t.id = wanted.id
      returning t.id
    ), stored as (
      insert into walferry.verification_sum (migration, verification, table_id, side, piece, buckets, rows, low, high)
      select $1, $2, s.id, $7, $3, s.buckets::integer[], s.rows::bigint[], s.low::numeric[], s.high::numeric[]
        from unnest($8::integer[], $9::text[], $10::text[], $11::text[], $12::text[]) as s (id, buckets, rows, low, high)
        join counted on counted.id = s.id
    )
    select exists (select from marked) as marked`,
    [
      ...[migration.id, verification, id, anchor, total.toString(), worker, side],
      sums.map(({ table }) => table),
      sums.map(({ buckets }) => `{${buckets.join(',')}}`),
      sums.map((one) => `{${one.rows.join(',')}}`),
      sums.map(({ low }) => `{${low.join(',')}}`),
      sums.map(({ high }) => `{${high.join(',')}}`),
    ],
  );
  return rows[0]?.marked === true;
}
