/** The schema-only archives of pg_dump in the control schema: with them, any worker can undo the schema. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { ANY_COPIED } from './chunk.ts';

/** A further archive of a schema that was dumped in parts; the first is in the migration's row. */
export interface StoredArchive {
  /** Added to the numbers of its entries. */
  readonly offset: number;
  readonly content: Buffer;
}

export async function storeArchive(
  target: pg.ClientBase,
  migration: string,
  { offset, content }: StoredArchive,
): Promise<void> {
  await target.query(
    /* sql */ `insert into walferry.archive (migration, number_offset, content) values ($1, $2, $3)`,
    [migration, offset, content],
  );
}

/** Offsets of the further archives, ascending. */
export async function readArchiveOffsets(
  target: pg.ClientBase,
  migration: string,
): Promise<number[]> {
  const { rows } = await target.query<{ offset: number }>(
    /* sql */ `select number_offset as offset from walferry.archive where migration = $1 order by 1`,
    [migration],
  );
  return rows.map(({ offset }) => offset);
}

/** Reads one of the further archives. */
export async function readArchive(
  target: pg.ClientBase,
  migration: string,
  offset: number,
): Promise<Buffer> {
  const { rows } = await target.query<{ content: Buffer }>(
    /* sql */ `select content from walferry.archive where migration = $1 and number_offset = $2`,
    [migration, offset],
  );
  return rows[0]?.content ?? Buffer.alloc(0);
}

/** The first archive, and whether rows were copied already; undefined: the migration is not registered. */
export async function readBeforeCopy(
  target: pg.ClientBase,
  { id }: Migration,
): Promise<{ readonly archive: Buffer | null; readonly copied: boolean } | undefined> {
  const { rows } = await target.query<{ archive: Buffer | null; copied: boolean }>(
    /* sql */ `select archive, ${ANY_COPIED} as copied from walferry.migration m where id = $1`,
    [id],
  );
  return rows[0];
}
