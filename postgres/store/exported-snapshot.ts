/**
 * The exported snapshots of a migration in the control schema: what each one sees, for the stream's filter, and which backend of
 * the source owns it, for the workers that copy under it.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Mark } from '../replication/flushed-mark.ts';
import type { ExportedSnapshot } from '../catalog/visibility.ts';

/** A backend of the source, identified by pid and start time because pids are reused. */
export interface Backend {
  readonly pid: number;
  /** `backend_start` as the source prints it, with microseconds. */
  readonly started: string;
}

export interface OwnedSnapshot extends ExportedSnapshot {
  /** Name from `pg_export_snapshot()`. */
  readonly snapshot: string;
  readonly owner: Backend;
  /** Written and flushed after the snapshot was taken; null if an earlier version took it. */
  readonly mark: Mark | null;
}

/**
 * Records the next exported snapshot.
 * @returns its number, from 1.
 * @throws MigrationError `SnapshotLost` if a newer snapshot is recorded: a frozen owner must not supersede it.
 */
export async function recordSnapshot(
  target: pg.ClientBase,
  migration: Migration,
  taken: Omit<OwnedSnapshot, 'number'>,
): Promise<number> {
  // An earlier attempt that is still alive may insert at the same time: the primary key makes one of the two fail and retry.
  const { rows } = await target.query<{ number: number }>(
    /* sql */ `
    insert into walferry.exported_snapshot
      (migration, number, snapshot, snapshot_xmin, snapshot_xmax, snapshot_xip, lsn, owner_pid, owner_started,
       mark_lsn, mark)
    select $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6::pg_lsn, $7, $8, $9, $10
      from walferry.exported_snapshot where migration = $1
    having not exists (select from walferry.exported_snapshot g where g.migration = $1 and g.lsn > $6::pg_lsn)
    returning number`,
    [
      migration.id,
      taken.snapshot,
      taken.xmin.toString(),
      taken.xmax.toString(),
      [...taken.xip].map(String),
      taken.lsn,
      taken.owner.pid,
      taken.owner.started,
      taken.mark?.lsn ?? null,
      taken.mark?.nonce ?? null,
    ],
  );
  const row = rows[0];
  if (row) return row.number;
  throw new MigrationError(
    'SnapshotLost',
    `the snapshot at ${taken.lsn} came too late: a newer one is already recorded`,
    { pids: [taken.owner.pid] },
  );
}

interface Row {
  number: number;
  snapshot: string;
  xmin: string;
  xmax: string;
  xip: string[];
  lsn: string;
  pid: number;
  started: string;
  mark_lsn: string | null;
  mark: string | null;
}

/** Lookup by pass; null, of a table without a pass, has no entry. */
export function byNumber<G extends ExportedSnapshot>(
  snapshots: readonly G[],
): ReadonlyMap<number | null, G> {
  return new Map(snapshots.map((one) => [one.number, one]));
}

/** All exported snapshots, oldest first. */
export async function readSnapshots(
  target: pg.ClientBase,
  migration: Migration,
): Promise<OwnedSnapshot[]> {
  const { rows } = await target.query<Row>(
    /* sql */ `
    select number, snapshot, snapshot_xmin::text as xmin, snapshot_xmax::text as xmax,
           snapshot_xip::text[] as xip, lsn::text, owner_pid as pid, owner_started::text as started,
           mark_lsn::text, mark
      from walferry.exported_snapshot where migration = $1 order by number`,
    [migration.id],
  );
  return rows.map((row) => ({
    number: row.number,
    snapshot: row.snapshot,
    xmin: BigInt(row.xmin),
    xmax: BigInt(row.xmax),
    xip: new Set(row.xip.map(BigInt)),
    lsn: parseLsn(row.lsn),
    owner: { pid: row.pid, started: row.started },
    mark:
      row.mark_lsn === null || row.mark === null
        ? null
        : { lsn: parseLsn(row.mark_lsn), nonce: row.mark },
  }));
}

/** The newest exported snapshot, or null before the first. */
export async function readNewestSnapshot(
  target: pg.ClientBase,
  migration: Migration,
): Promise<OwnedSnapshot | null> {
  return (await readSnapshots(target, migration)).at(-1) ?? null;
}

/**
 * Records that the remaining tables need a later snapshot than all existing ones: the stream has seen a table that these may not
 * contain. Under a snapshot whose owner lingers (its worker's host is gone and the server has not noticed) the table would count
 * as copied without a row. Call it in the transaction that records the tables.
 */
export async function outdateSnapshots(target: pg.ClientBase, migration: Migration): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.migration set outdated =
      (select max(number) from walferry.exported_snapshot where migration = $1) where id = $1`,
    [migration.id],
  );
}

/** The newest exported snapshot that must not be used for the remaining tables; 0 for none. */
export async function readOutdated(target: pg.ClientBase, migration: Migration): Promise<number> {
  const { rows } = await target.query<{ outdated: number | null }>(
    /* sql */ `select outdated from walferry.migration where id = $1`,
    [migration.id],
  );
  return rows[0]?.outdated ?? 0;
}

/** Until the end of the transaction no other snapshot is recorded: the row lock conflicts with its foreign key. */
export async function lockSnapshots(target: pg.ClientBase, { id }: Migration): Promise<void> {
  await target.query(/* sql */ `select from walferry.migration where id = $1 for update`, [id]);
}
