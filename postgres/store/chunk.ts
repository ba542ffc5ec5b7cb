/** The chunks of a migration in the control schema: the plan of the copy; `done_at` marks finished chunks. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { after, may, requireMoved } from './table-state.ts';

export interface Chunk {
  readonly relations: readonly number[];
  /** Null: whole tables. */
  readonly firstBlock: number | null;
  /** First block not in the chunk; null: to the end. */
  readonly endBlock: number | null;
  readonly pages: number;
}

export interface ChunkRow extends Chunk {
  readonly id: number;
  readonly pass: number;
  readonly done: boolean;
}

export interface CopyTotals {
  readonly chunksDone: number;
  readonly chunksTotal: number;
  readonly rows: number;
  readonly bytes: number;
}

/** Appends chunks to the existing ones. 100,000 take about a second. */
export async function insertChunks(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  chunks: readonly Chunk[],
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.chunk (migration, id, pass, relations, first_block, end_block, pages)
    select $1, last.id + new.at, $2, new.relations::integer[], new.first, new.finish, new.pages
      from unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
             with ordinality as new (relations, first, finish, pages, at),
           (select coalesce(max(id), 0) as id from walferry.chunk where migration = $1) last`,
    [
      migration.id,
      pass,
      // As text: PostgreSQL's arrays of arrays must be rectangular.
      chunks.map(({ relations }) => `{${relations.join(',')}}`),
      chunks.map(({ firstBlock }) => firstBlock),
      chunks.map(({ endBlock }) => endBlock),
      chunks.map(({ pages }) => pages),
    ],
  );
}

interface Row {
  id: number;
  pass: number;
  relations: number[];
  first: string | null;
  finish: string | null;
  pages: string;
  done: boolean;
}

/** The chunks from `first` to `last`, inclusive, in the order of their numbers. */
export async function readChunks(
  target: pg.ClientBase,
  migration: Migration,
  range: { readonly first: number; readonly last: number },
): Promise<ChunkRow[]> {
  const { rows } = await target.query<Row>(
    /* sql */ `
    select id, pass, relations, first_block::text as first, end_block::text as finish,
           pages::text, done_at is not null as done
      from walferry.chunk where migration = $1 and id between $2 and $3 order by id`,
    [migration.id, range.first, range.last],
  );
  return rows.map(({ first, finish, pages, ...row }) => ({
    ...row,
    firstBlock: first === null ? null : Number(first),
    endBlock: finish === null ? null : Number(finish),
    pages: Number(pages),
  }));
}

/** Unfinished chunks of a pass, in the order of their numbers. */
export async function readPendingChunks(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
): Promise<{ readonly id: number; readonly relations: readonly number[] }[]> {
  // Most chunks belong to one table, and parsing 100,000 arrays takes seconds.
  const { rows } = await target.query<{ id: number; one: number | null; many: number[] | null }>(
    /* sql */ `
    select id, case when cardinality(relations) = 1 then relations[1] end as one,
           case when cardinality(relations) <> 1 then relations end as many
      from walferry.chunk
     where migration = $1 and pass = $2 and done_at is null order by id`,
    [migration.id, pass],
  );
  return rows.map(({ id, one, many }) => ({ id, relations: one === null ? (many ?? []) : [one] }));
}

/** Number of tables in the largest bundle among the unfinished chunks of a pass; 1 if there is none. */
export async function readLargestChunk(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
): Promise<number> {
  const { rows } = await target.query<{ largest: number }>(
    /* sql */ `
    select coalesce(max(cardinality(relations)), 1) as largest
      from walferry.chunk where migration = $1 and pass = $2 and done_at is null`,
    [migration.id, pass],
  );
  return rows[0]?.largest ?? 1;
}

/** Sums over all finished chunks. */
export async function readTotals(target: pg.ClientBase, migration: Migration): Promise<CopyTotals> {
  const { rows } = await target.query<Record<keyof CopyTotals, string>>(
    /* sql */ `
    select count(done_at) as "chunksDone", count(*) as "chunksTotal",
           coalesce(sum(rows), 0) as rows, coalesce(sum(bytes), 0) as bytes
      from walferry.chunk where migration = $1`,
    [migration.id],
  );
  const row = rows[0];
  return {
    chunksDone: Number(row?.chunksDone ?? 0),
    chunksTotal: Number(row?.chunksTotal ?? 0),
    rows: Number(row?.rows ?? 0),
    bytes: Number(row?.bytes ?? 0),
  };
}

/**
 * Locks a chunk of the pass until the end of the transaction: reading its state and keeping every other attempt out is one step.
 * @returns null if the pass no longer has it.
 */
export async function lockChunk(
  target: pg.ClientBase,
  migration: Migration,
  chunk: number,
  pass: number,
): Promise<'done' | 'unfinished' | null> {
  const { rows } = await target.query<{ done: boolean }>(
    /* sql */ `
    select done_at is not null as done from walferry.chunk
     where migration = $1 and id = $2 and pass = $3 for update`,
    [migration.id, chunk, pass],
  );
  const [row] = rows;
  if (!row) return null;
  return row.done ? 'done' : 'unfinished';
}

/**
 * Marks a chunk as finished, in the transaction that wrote its rows, and counts it for its tables: a table's last chunk completes
 * its copy. Chunks of one table may be marked at the same time; the lock of the table's row makes the second see the first.
 * @returns false if it no longer belongs to this pass or is already marked: the transaction must not commit.
 */
export async function markChunk(
  target: pg.ClientBase,
  migration: Migration,
  chunk: Pick<ChunkRow, 'id' | 'pass'>,
  done: { readonly rows: number; readonly bytes: number; readonly worker: string },
): Promise<boolean> {
  const { rows } = await target.query<{ tables: number; counted: number }>(
    /* sql */ `
    with marked as (
      update walferry.chunk set done_at = clock_timestamp(), rows = $4, bytes = $5, worker = $6
       where migration = $1 and id = $2 and pass = $3 and done_at is null
      returning relations),
    counted as (
      update walferry.relation r
         set chunks_left = greatest(r.chunks_left - 1, 0),
             state = case when r.chunks_left = 1 and ${may('copied')} then ${after('copied')} else r.state end
        from marked
       where r.migration = $1 and r.id = any(marked.relations) and r.pass = $3
         and (${may('copied')} or r.state = 'resync')
      returning r.id)
    select cardinality(relations) as tables, (select count(*)::integer from counted) as counted from marked`,
    [migration.id, chunk.id, chunk.pass, done.rows, done.bytes, done.worker],
  );
  const [row] = rows;
  // A table that is not counted would stay unfinished although its rows are there.
  if (row) requireMoved('copied', row.counted, row.tables);
  return row !== undefined;
}

/** Unfinished chunks of some tables. */
export async function readUndone(
  target: pg.ClientBase,
  migration: Migration,
  tables: readonly number[],
): Promise<number[]> {
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `
    select id from walferry.chunk
     where migration = $1 and relations && $2::integer[] and done_at is null`,
    [migration.id, tables],
  );
  return rows.map(({ id }) => id);
}

/** Removes the tables' chunks and marks. @returns the tables with a marked chunk: only they have copied rows. */
export async function deleteChunks(
  target: pg.ClientBase,
  migration: Migration,
  tables: readonly number[],
): Promise<Set<number>> {
  // With their locks: a session that was already committing has marked its chunk, and its rows exist.
  const marked = await target.query<{ filled: number[] | null }>(
    /* sql */ `
    with held as (
      select relations, done_at from walferry.chunk
       where migration = $1 and relations && $2::integer[] order by id for update)
    select array_agg(distinct r) filter (where r = any($2::integer[])) as filled
      from held, unnest(relations) r where done_at is not null`,
    [migration.id, tables],
  );
  await target.query(
    /* sql */ `
    delete from walferry.chunk where migration = $1 and relations <@ $2::integer[]`,
    [migration.id, tables],
  );
  // The other tables of a bundle keep their mark.
  await target.query(
    /* sql */ `
    update walferry.chunk c
       set relations = array(select r from unnest(c.relations) r where r <> all($2::integer[]))
     where migration = $1 and relations && $2::integer[]`,
    [migration.id, tables],
  );
  return new Set(marked.rows[0]?.filled);
}

/** Numbers of the unfinished chunks of other passes: whoever copies them is superseded. */
export async function readUndoneBefore(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
): Promise<number[]> {
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `select id from walferry.chunk where migration = $1 and pass <> $2 and done_at is null`,
    [migration.id, pass],
  );
  return rows.map(({ id }) => id);
}

/** Condition on `walferry.migration m`: whether any chunk is marked, so that the target has copied rows. */
export const ANY_COPIED = /* sql */ `
  exists (select from walferry.chunk c where c.migration = m.id and c.done_at is not null)`;
