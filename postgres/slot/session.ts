/** Sessions of the slot and the snapshot: they wait or work for hours, so nobody's default time limit may end them. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { cut, type Purpose } from '../connection/session.ts';
import { connectSide, type SideOptions } from '../identity/connect.ts';
import type { Side } from '../identity/identity.ts';

/** What a session has beyond the limits that every one of ours is without. */
const PATIENT: Readonly<Record<string, string>> = {
  // A worker's machine that vanished is noticed within a minute instead of two hours: its locks and snapshot hold others up.
  tcp_keepalives_idle: '30',
  tcp_keepalives_interval: '10',
  tcp_keepalives_count: '3',
};

/** How long a statement in progress goes on whose client is gone: a lock it waits for would be taken for nobody. */
const CONNECTION_CHECK = { client_connection_check_interval: '300ms' };

/** Connects with those settings; more can be given. */
export async function connectPatiently(
  side: Side,
  migration: Migration,
  purpose: Purpose,
  settings: Readonly<Record<string, string>> = {},
  options: SideOptions = {},
): Promise<pg.Client & AsyncDisposable> {
  const client = await connectSide(side, migration, purpose, options);
  try {
    await setKnown(client, { ...PATIENT, ...settings });
    // Not every operating system can look; the server refuses the value there.
    await setKnown(client, CONNECTION_CHECK).catch(() => undefined);
    return client;
  } catch (error) {
    cut(client);
    throw error;
  }
}

/** Sets those of the settings that the server knows. */
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
