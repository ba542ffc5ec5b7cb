/** Facts that are read from both servers alike. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { readHashes } from '../catalog/partition-key.ts';
import type { ServerFacts } from './facts.ts';
import { readAge, readSessions } from './read/load.ts';
import { readLocale } from './read/locale.ts';

/** The oldest server that these queries support; see checks/version.ts for supported sources. */
const OLDEST_READABLE = 13;

interface ServerRow {
  readonly version_number: number;
  readonly version: string;
  readonly database: string;
  readonly encoding: string;
  readonly recovery: boolean;
  readonly not_durable: string[];
  readonly fingerprint: string;
  readonly recognizable: boolean;
  readonly role: string;
  readonly superuser: boolean;
  readonly replication: boolean;
  readonly bypass: boolean;
}

/**
 * @param client a session of that service; its search path is emptied, so that both sides print names alike.
 * @throws MigrationError `Internal` if the server is too old.
 */
export async function readServer(client: pg.ClientBase): Promise<ServerFacts> {
  await client.query(/* sql */ `select pg_catalog.set_config('search_path', '', false)`);
  const { rows } = await client.query<ServerRow>(/* sql */ `
    select current_setting('server_version_num')::int4 as version_number,
           current_setting('server_version') as version,
           current_database() as database,
           current_setting('server_encoding') as encoding,
           pg_is_in_recovery() as recovery,
           array(select s.name from pg_catalog.pg_settings s
                  where s.name in ('fsync', 'full_page_writes') and s.setting = 'off' order by 1) as not_durable,
           -- The start time differs between two clusters that were restored from one backup.
           concat_ws(' ', d.oid, d.datname, pg_postmaster_start_time()) as fingerprint,
           pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute') as recognizable,
           current_user as role,
           r.rolsuper as superuser, r.rolreplication as replication, r.rolbypassrls as bypass
      from pg_catalog.pg_database d, pg_catalog.pg_roles r
     where d.datname = current_database() and r.rolname = current_user`);
  const [row] = rows;
  if (!row) throw new Error('the catalog lacks the database or role of this session');
  const major = Math.floor(row.version_number / 10_000);
  if (major < OLDEST_READABLE) {
    const text = `the server is PostgreSQL ${row.version}, but walferry needs ${OLDEST_READABLE} or newer`;
    throw new MigrationError('Internal', text);
  }
  return {
    major,
    version: row.version,
    database: row.database,
    encoding: row.encoding,
    inRecovery: row.recovery,
    notDurable: row.not_durable,
    fingerprint: row.fingerprint,
    recognizable: row.recognizable,
    role: {
      name: row.role,
      superuser: row.superuser,
      replication: row.replication,
      bypassesRowSecurity: row.superuser || row.bypass,
    },
    locale: await readLocale(client),
    hashes: await readHashes(client),
    sessions: await readSessions(client),
    age: await readAge(client),
  };
}
