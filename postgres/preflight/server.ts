/** The server and the role of a session: known before any other fact. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

export interface ServerFacts {
  /** 15 for 15.18. */
  readonly major: number;
  readonly version: string;
  readonly database: string;
  readonly encoding: string;
  readonly role: {
    readonly name: string;
    readonly superuser: boolean;
    readonly replication: boolean;
  };
}

/** The oldest server that these queries support; see checks/version.ts for supported sources. */
const OLDEST_READABLE = 13;

/**
 * @param client a session of that service; its search path is emptied, so that both sides print names alike.
 * @throws MigrationError `Internal` if the server is too old.
 */
export async function readServer(client: pg.ClientBase): Promise<ServerFacts> {
  await client.query(/* sql */ `select pg_catalog.set_config('search_path', '', false)`);
  const { rows } = await client.query<ServerFacts>(/* sql */ `
    select current_setting('server_version_num')::int4 / 10000 as major,
           current_setting('server_version') as version,
           current_database() as database,
           current_setting('server_encoding') as encoding,
           json_build_object('name', current_user, 'superuser', rolsuper, 'replication', rolreplication) as role
      from pg_catalog.pg_roles where rolname = current_user`);
  const [server] = rows;
  if (!server) throw new Error('the catalog lacks the role of this session');
  if (server.major < OLDEST_READABLE) {
    const text = `the server is PostgreSQL ${server.version}, but walferry needs ${OLDEST_READABLE} or newer`;
    throw new MigrationError('Internal', text);
  }
  return server;
}
