/**
 * The server and database of a session. A name (of a service, host or snapshot) or a position proves nothing: after a change of
 * DNS or of a service file it may be valid on another server, too.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

export type Side = 'source' | 'target';

export interface Identity {
  /** `system_identifier`: shared by a server, its standbys and copies of its disk. */
  readonly system: string;
  readonly database: string;
  readonly timeline: number;
}

interface Row {
  system: string;
  database: string;
  standby: boolean;
  timeline: string | null;
}

/** `pg_control_checkpoint()` shows a new timeline only after the first checkpoint; the name of the WAL file shows it at once. */
const IDENTITY = /* sql */ `
select c.system_identifier::text as system, d.oid::text as database, r.standby,
       case when not r.standby
            then pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) end as timeline
  from pg_catalog.pg_control_system() c, pg_catalog.pg_database d,
       (select pg_catalog.pg_is_in_recovery() as standby) r
 where d.datname = pg_catalog.current_database()`;

/** @throws MigrationError `Unreachable` for a standby: it may be about to be promoted, and shows stale data until then. */
export async function readIdentity(client: pg.ClientBase, service: string): Promise<Identity> {
  const { rows } = await client.query<Row>(IDENTITY);
  const [row] = rows;
  if (!row)
    throw new MigrationError(
      'Internal',
      `service "${service}" does not report its system identifier`,
    );
  if (row.standby || row.timeline === null) {
    throw new MigrationError(
      'Unreachable',
      `the server of service "${service}" is a standby: promote it, or point the service to its primary`,
    );
  }
  return { system: row.system, database: row.database, timeline: parseInt(row.timeline, 16) };
}

/** Whether both are the same database of the same server, regardless of the timeline. */
export function isSame(a: Identity, b: Identity): boolean {
  return a.system === b.system && a.database === b.database;
}

export function wrongServer(
  side: Side,
  service: string,
  found: Identity,
  expected: Identity,
): MigrationError {
  const what =
    found.system === expected.system
      ? `database oid ${found.database} of the right server instead of ${expected.database}`
      : `the server with system identifier ${found.system} instead of ${expected.system}`;
  return new MigrationError(
    'WrongServer',
    `service "${service}" on this worker points to ${what}, so it is not the ${side} of this migration`,
  );
}
