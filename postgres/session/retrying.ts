/** Sessions for the slot and the snapshot: they wait or work for hours, so no default timeout may end them. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { cut, type Purpose } from '../connection/connect.ts';
import { connectSide, type SideOptions } from './open.ts';
import type { Side } from '../identity/identity.ts';

const KEEPALIVES: Readonly<Record<string, string>> = {
  // The server detects a lost worker within a minute instead of two hours and releases its locks and snapshot.
  tcp_keepalives_idle: '30',
  tcp_keepalives_interval: '10',
  tcp_keepalives_count: '3',
};

/** How soon the server ends a statement whose client is gone; otherwise it might still acquire the lock that it waits for. */
const CONNECTION_CHECK = { client_connection_check_interval: '300ms' };

/** Connects with these settings and optional further ones. */
export async function connectPatiently(
  side: Side,
  migration: Migration,
  purpose: Purpose,
  settings: Readonly<Record<string, string>> = {},
  options: SideOptions = {},
): Promise<pg.Client & AsyncDisposable> {
  const client = await connectSide(side, migration, purpose, options);
  try {
    await setKnown(client, { ...KEEPALIVES, ...settings });
    // The server refuses the value on operating systems that cannot detect this.
    await setKnown(client, CONNECTION_CHECK).catch(() => undefined);
    return client;
  } catch (error) {
    cut(client);
    throw error;
  }
}

/** Sets only settings that the server has. */
async function setKnown(
  client: pg.ClientBase,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  await client.query(
    /* sql */ `
    select set_config(name, value, false)
      from unnest($1::text[], $2::text[]) as wanted (name, value)
      join pg_catalog.pg_settings using (name)`,
    [Object.keys(settings), Object.values(settings)],
  );
}
