/**
 * The control schema's records of both servers and of the target's position: read before any data of a source is trusted.
 */
import type pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import type { Identity, Side } from '../identity/identity.ts';
import { NEWEST, requireKnownVersion } from './upgrade.ts';

export interface Known {
  readonly source: Identity | null;
  readonly target: Identity | null;
  /** Null until the slot is created. */
  readonly confirmedLsn: Lsn | null;
  /** Position of the newest mark of an exported snapshot; null before the first. */
  readonly copiedLsn: Lsn | null;
  /** Whether a stream attempt or a plan of the copy has started: from then on the slot's position belongs to this row. */
  readonly begun: boolean;
  /** Whether the control schema is of an earlier version. */
  readonly isOutdated: boolean;
}

interface Row {
  confirmed: string | null;
  copied: string | null;
  begun: boolean;
  sides: readonly { side: Side; system: string; database: string; timeline: number }[] | null;
}

/**
 * Null if the target has no record of the migration. Does not break an open transaction of the session. Runs before an upgrade:
 * reads only what every version has.
 * @throws MigrationError `StoreTooNew`, `StoreTooOld`.
 */
export async function readKnown(
  target: pg.ClientBase,
  migration: Migration,
): Promise<Known | null> {
  const found = await readRow(target, migration);
  if (found === null) return null;
  const { row, version } = found;
  const of = (side: Side): Identity | null => row.sides?.find((one) => one.side === side) ?? null;
  return {
    source: of('source'),
    target: of('target'),
    confirmedLsn: row.confirmed === null ? null : parseLsn(row.confirmed),
    copiedLsn: row.copied === null ? null : parseLsn(row.copied),
    begun: row.begun,
    isOutdated: version < NEWEST,
  };
}

async function readRow(
  target: pg.ClientBase,
  migration: Migration,
): Promise<{ readonly row: Row; readonly version: number } | null> {
  try {
    const version = await requireKnownVersion(target, migration.target);
    if (version === null) return null;
    const { rows } = await target.query<Row>(
      /* sql */ `
      select m.confirmed_lsn::text as confirmed, m.epoch > 0 as begun,
             (select pg_catalog.json_agg(pg_catalog.json_build_object('side', s.side,
                'system', s.system, 'database', s.database::text, 'timeline', s.timeline))
                from walferry.side s where s.migration = m.id) as sides,
             (select pg_catalog.max(g.mark_lsn)::text
                from walferry.exported_snapshot g where g.migration = m.id) as copied
        from walferry.migration m where m.id = $1`,
      [migration.id],
    );
    return rows[0] ? { row: rows[0], version } : null;
  } catch (error) {
    const state = sqlstate(error);
    // Dropped since the check: another step has ended the migration.
    if (state === SQLSTATE.undefinedTable || state === SQLSTATE.invalidSchemaName) return null;
    throw error;
  }
}

/** Records a side's identity, unless it is already recorded. */
export async function registerSide(
  target: pg.ClientBase,
  migration: Migration,
  side: Side,
  { system, database, timeline }: Identity,
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.side (migration, side, system, database, timeline)
    values ($1, $2, $3, $4, $5) on conflict do nothing`,
    [migration.id, side, system, database, timeline],
  );
}

/** Records a later timeline that was verified to contain everything confirmed. */
export async function moveTimeline(
  target: pg.ClientBase,
  migration: Migration,
  from: number,
  to: number,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.side set timeline = $3
     where migration = $1 and side = 'source' and timeline = $2`,
    [migration.id, from, to],
  );
}

/** For a manual cleanup, where the operator names the servers: also works on a copy of the target. */
export async function forgetSides(target: pg.ClientBase, id: string): Promise<void> {
  await target.query(/* sql */ `delete from walferry.side where migration = $1`, [id]);
}
