/** Sessions with the settings that make text values identical on both sides. */
import pg from 'pg';
import { readService } from './service.ts';

/** What the connection is for; part of application_name, so that an operator sees in pg_stat_activity who it is. */
export type Purpose =
  | 'preflight'
  | 'schema'
  | 'slot'
  | 'holder'
  | 'plan'
  | 'copy'
  | 'index'
  | 'stream'
  | 'apply'
  | 'cutover'
  | 'cleanup';

/** Text of every value must not depend on server or role defaults. Used by every session that reads or writes values. */
export const PINNED: Readonly<Record<string, string>> = {
  DateStyle: 'ISO',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
  client_encoding: 'UTF8',
};

/** The `pg` configuration of a service; also what the replication connection starts from. */
export function clientConfig(service: string, purpose: Purpose): pg.ClientConfig {
  const settings = readService(service);
  return {
    host: settings['host'] ?? 'localhost',
    port: Number(settings['port'] ?? 5432),
    database: settings['dbname'] ?? settings['user'] ?? 'postgres',
    ...(settings['user'] === undefined ? {} : { user: settings['user'] }),
    ...(settings['password'] === undefined ? {} : { password: settings['password'] }),
    application_name: `walferry ${purpose}`,
    options: Object.entries(PINNED)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
    keepAlive: true,
  };
}

/** A connected client with pinned settings; the caller ends it (`await using`). */
export async function connect(
  service: string,
  purpose: Purpose,
): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client(clientConfig(service, purpose));
  // Without a listener a broken idle connection would end the process; the next query reports it anyway.
  client.on('error', () => undefined);
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}
