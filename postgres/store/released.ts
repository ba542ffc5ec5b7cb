/**
 * The end mark after which the final check of a cutover found no change: the slot is dropped next. With it, an attempt that finds no
 * slot knows that an earlier one dropped it.
 */
import type pg from 'pg';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';

/** @param since null: the slot still exists and must be checked again. */
export async function recordReleased(
  target: pg.ClientBase,
  { id }: Migration,
  since: Lsn | null,
): Promise<void> {
  await target.query(/* sql */ `update walferry.migration set released_lsn = $2 where id = $1`, [
    id,
    since,
  ]);
}

export async function isReleased(
  target: pg.ClientBase,
  { id }: Migration,
  since: Lsn,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `select from walferry.migration where id = $1 and released_lsn = $2::pg_lsn`,
    [id, since],
  );
  return rowCount === 1;
}
