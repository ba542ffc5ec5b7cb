/**
 * The barrier of an anchor: what the target has beyond its confirmed LSN. It is written in the transaction that applies those
 * source transactions, and cleared in the one that stores a position at or past its LSN. In between every attempt skips what it
 * shows (stream/anchor-filter.ts): without it, an attempt that starts after a crash would apply them twice.
 */
import type pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { parseSnapshot, type ExportedSnapshot } from '../catalog/visibility.ts';

export interface Barrier extends Omit<ExportedSnapshot, 'number'> {
  /** Id of its anchor. */
  readonly anchor: string;
  /** `pg_current_snapshot()` of the anchor's snapshot, as text. */
  readonly visible: string;
}

/** @param visible as the source printed it. @param lsn as a server printed it. @throws RangeError for anything else. */
export function barrierOf(anchor: string, visible: string, lsn: string): Barrier {
  return { anchor, visible, lsn: parseLsn(lsn), ...parseSnapshot(visible) };
}

/** The barrier in force; null without one. Only an attempt that has the epoch may rely on it: no one else writes it. */
export async function readBarrier(
  target: pg.ClientBase,
  { id }: Migration,
): Promise<Barrier | null> {
  const { rows } = await target.query<{ anchor: string; visible: string; lsn: string }>(
    /* sql */ `select anchor, visible, lsn::text from walferry.barrier where migration = $1`,
    [id],
  );
  const [row] = rows;
  return row ? barrierOf(row.anchor, row.visible, row.lsn) : null;
}

/**
 * Stores the barrier and tells the anchor's owner, in the caller's transaction. An earlier barrier is replaced: a later snapshot
 * of the same source shows everything that the earlier one shows.
 * @param confirmed the confirmed LSN that the same transaction stores.
 */
export async function writeBarrier(
  target: pg.ClientBase,
  { id }: Migration,
  { anchor, visible, lsn }: Barrier,
  confirmed: Lsn,
): Promise<void> {
  await target.query(
    /* sql */ `
    with noted as (
      update walferry.anchor set state = 'reached' where migration = $1 and id = $2 and state = 'taken')
    insert into walferry.barrier (migration, anchor, visible, lsn, confirmed) values ($1, $2, $3, $4, $5)
    on conflict (migration) do update
       set anchor = excluded.anchor, visible = excluded.visible, lsn = excluded.lsn, confirmed = excluded.confirmed`,
    [id, anchor, visible, lsn, confirmed],
  );
}

/** In the caller's transaction, which stores a position that the barrier says nothing about. */
export async function clearBarrier(target: pg.ClientBase, { id }: Migration): Promise<void> {
  await target.query(/* sql */ `delete from walferry.barrier where migration = $1`, [id]);
}
