/** The consistent point of the slot: from here on it delivers every commit. */
import type pg from 'pg';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';

/**
 * The slot was created. The greatest barrier wins: an overtaken attempt must not overwrite the newer slot's position with its own.
 * From the first exported snapshot on the position is final, because copied rows depend on it.
 * @returns false if another attempt has created it.
 */
export async function storeConsistentPoint(
  target: pg.ClientBase,
  migration: Migration,
  consistentLsn: Lsn,
  barrier: bigint,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.migration set consistent_lsn = $2, confirmed_lsn = $2, commit_lsn = $2, barrier = $3
     where id = $1 and epoch = 0 and (barrier is null or barrier < $3)
       and not exists (select from walferry.exported_snapshot where migration = $1)`,
    [migration.id, consistentLsn, barrier.toString()],
  );
  return rowCount === 1;
}
