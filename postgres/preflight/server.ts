/** What is read from both servers alike. */
import type pg from 'pg';
import type { ServerFacts } from './facts.ts';

interface ServerRow {
  readonly version_number: number;
  readonly version: string;
  readonly database: string;
  readonly encoding: string;
  readonly recovery: boolean;
  readonly fingerprint: string;
  readonly role: string;
  readonly superuser: boolean;
  readonly replication: boolean;
  readonly bypass: boolean;
}

export async function readServer(client: pg.ClientBase): Promise<ServerFacts> {
  const { rows } = await client.query<ServerRow>(/* sql */ `
    select current_setting('server_version_num')::int4 as version_number,
           current_setting('server_version') as version,
           current_database() as database,
           current_setting('server_encoding') as encoding,
           pg_is_in_recovery() as recovery,
           -- The start time tells two clusters apart that were restored from one backup.
           concat_ws(' ', d.oid, d.datname, pg_postmaster_start_time()) as fingerprint,
           current_user as role,
           r.rolsuper as superuser, r.rolreplication as replication, r.rolbypassrls as bypass
      from pg_catalog.pg_database d, pg_catalog.pg_roles r
     where d.datname = current_database() and r.rolname = current_user`);
  const [row] = rows;
  if (!row) throw new Error('the server does not know the database or role that it let in');
  return {
    major: Math.floor(row.version_number / 10_000),
    version: row.version,
    database: row.database,
    encoding: row.encoding,
    inRecovery: row.recovery,
    fingerprint: row.fingerprint,
    role: {
      name: row.role,
      superuser: row.superuser,
      replication: row.replication,
      bypassesRowSecurity: row.superuser || row.bypass,
    },
  };
}
