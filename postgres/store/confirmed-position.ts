/** The confirmed LSN and the last commit before it: what an apply transaction records along with its rows. */
import type pg from 'pg';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Checkpoint } from '../../contract/work.ts';

/** What an apply transaction records along with its rows. Counters are totals since the migration started. */
export interface Advance extends Checkpoint {
  readonly consistent: boolean;
  /** The last commit before the position; null or unset if none was received since the attempt started. */
  readonly commit?: LastCommit | null;
}

/** Identifies a commit of the source, and with it the source's history (stream/continuity.ts). */
export interface LastCommit {
  /** End of its record. */
  readonly nextLsn: Lsn;
  /** 32 bits. */
  readonly xid: number;
  /** As the source printed it. */
  readonly committedAt: string | null;
}

/**
 * Stores the confirmed LSN inside the apply transaction. Fails with {@link NOT_ADVANCED} if another attempt has the row or the
 * stored position is already later, so that a COMMIT sent after it does not run.
 */
export const ADVANCE = /* sql */ `
  with moved as (
    update walferry.migration
       set confirmed_lsn = $3, transactions = $4, changes = $5,
           consistent = consistent or $6,
           commit_lsn = coalesce($7, commit_lsn), commit_xid = coalesce($8, commit_xid),
           commit_at = coalesce($9, commit_at)
     where id = $1 and epoch = $2 and (confirmed_lsn is null or confirmed_lsn <= $3)
    returning id)
  select 1 / pg_catalog.count(*) from moved`;

/** Division by zero. */
export const NOT_ADVANCED = '22012';

/** The parameters of {@link ADVANCE}. */
export function advanceValues({ id }: Migration, epoch: bigint, to: Advance): (string | null)[] {
  return [
    id,
    epoch.toString(),
    to.confirmedLsn,
    String(to.transactions),
    String(to.changes),
    String(to.consistent),
    to.commit?.nextLsn ?? null,
    to.commit?.xid.toString() ?? null,
    to.commit?.committedAt ?? null,
  ];
}

/** The last commit that the target has, in the source's texts. */
export interface StoredCommit {
  confirmed: string | null;
  lsn: string | null;
  xid: string | null;
  at: string | null;
}

/** Undefined if the target has no record of the migration. */
export async function readLastCommit(
  target: pg.ClientBase,
  migration: Migration,
): Promise<StoredCommit | undefined> {
  const { rows } = await target.query<StoredCommit>(
    /* sql */ `
    select confirmed_lsn::text as confirmed, commit_lsn::text as lsn, commit_xid::text as xid, commit_at as at
      from walferry.migration where id = $1`,
    [migration.id],
  );
  return rows[0];
}

/** Whether everything before the end mark is applied. Null if the target has no record of the migration. */
export async function readDrained(
  target: pg.ClientBase,
  migration: Migration,
  since: Lsn,
): Promise<{ readonly confirmed: string | null; readonly drained: boolean | null } | null> {
  const { rows } = await target.query<{ confirmed: string | null; drained: boolean | null }>(
    /* sql */ `
    select confirmed_lsn::text as confirmed, confirmed_lsn >= $2::pg_lsn as drained
      from walferry.migration where id = $1`,
    [migration.id, since],
  );
  return rows[0] ?? null;
}
