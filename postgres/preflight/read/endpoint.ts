/**
 * What stands behind a service: one server whose sessions are ours alone, or something in between. Snapshots are exported by
 * one session and imported by others, settings are made once for a session, and a lock belongs to the session that took it:
 * behind a pooler that lends out backends none of that holds.
 *
 * SQL cannot ask "is there a pooler", so it is provoked. A second session opens a transaction while the first is idle: a pooler
 * then has either lent the first one's backend away (both have the same process id) or answers the first from another one.
 */
import type pg from 'pg';
import { MigrationError } from '../../../contract/failure.ts';
import { classify } from '../../connection/failure.ts';
import { linkOf, type Link } from '../../connection/link.ts';
import { READABLE } from '../../connection/pinned.ts';
import { connect, type SessionOptions } from '../../connection/session.ts';
import { backendPidOf } from '../../replication/socket.ts';
import { readSession, type SessionFacts } from './session.ts';

export interface EndpointFacts {
  readonly link: Link;
  /** Servers that the connections met, told apart by the time of their start. */
  readonly servers: number;
  /** A session had no backend of its own. */
  readonly shared: boolean;
  /** The process id that was announced at the start is not the backend's. */
  readonly proxied: boolean;
  /** Settings of ours that the session does not have although the start-up asked for them. */
  readonly lostSettings: readonly string[];
  readonly session: SessionFacts;
  /** Why no replication connection could be made; null when it could, or was not asked for. */
  readonly replication: MigrationError | null;
  /** Defaults of a session of this role in this database, where they matter to an application. */
  readonly defaults: ReadonlyMap<string, string>;
}

/** Whether each session has one server's backend for itself, with our settings: without that nothing else is worth reading. */
export function isOwn({ servers, shared, lostSettings }: EndpointFacts): boolean {
  return servers === 1 && !shared && lostSettings.length === 0;
}

interface Glance {
  readonly pid: number;
  readonly started: string;
}

const GLANCE = /* sql */ `
  select pg_catalog.pg_backend_pid() as pid, pg_catalog.pg_postmaster_start_time()::text as started`;

/** Settings whose value decides what an application reads, writes or means. */
const TOLD = [
  'TimeZone',
  'DateStyle',
  'IntervalStyle',
  'bytea_output',
  'default_text_search_config',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'extra_float_digits',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'search_path',
  'standard_conforming_strings',
  'xmlbinary',
  'xmloption',
];

/**
 * @param client a connected session of the service.
 * @param replication whether the side has to take a replication connection, too.
 * @throws MigrationError when a further connection cannot be made.
 */
export async function readEndpoint(
  service: string,
  client: pg.Client,
  replication: boolean,
  options: SessionOptions,
): Promise<EndpointFacts> {
  const first = await glance(client);
  await using second = await connect(service, 'preflight', options);
  await second.query(/* sql */ `begin read only`);
  const other = await glance(second);
  const again = await glance(client);
  const lostSettings = await readLost(client);
  await second.query(/* sql */ `rollback`);
  const glances = [first, other, again];
  let refusal: MigrationError | null = null;
  if (replication) {
    const sender = await replicationGlance(service, options);
    if (sender instanceof MigrationError) refusal = sender;
    else glances.push(sender);
  }
  return {
    link: linkOf(service, client),
    servers: new Set(glances.map(({ started }) => started)).size,
    shared: first.pid === other.pid || first.pid !== again.pid,
    proxied: backendPidOf(client) !== first.pid,
    lostSettings,
    session: await readSession(client),
    replication: refusal,
    defaults: await readDefaults(service, options),
  };
}

/** Without parameters, so that it is the simple protocol, the only one that a walsender speaks. */
async function glance(client: pg.Client): Promise<Glance> {
  const { rows } = await client.query<Glance>(GLANCE);
  const [row] = rows;
  if (!row) throw new Error('a select without from gave no row');
  return row;
}

async function replicationGlance(
  service: string,
  options: SessionOptions,
): Promise<Glance | MigrationError> {
  try {
    await using sender = await connect(service, 'preflight', { ...options, replication: true });
    return await glance(sender);
  } catch (error) {
    options.signal?.throwIfAborted();
    return classify(error, { step: 'opening a replication connection', side: 'source' }, 'Denied');
  }
}

async function readLost(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    /* sql */ `select name, setting from pg_catalog.pg_settings where name = any($1::text[])`,
    [Object.keys(READABLE)],
  );
  return rows
    .filter(({ name, setting }) => {
      const asked = READABLE[name] ?? '';
      // DateStyle comes back as `ISO, MDY`.
      return setting !== asked && !setting.startsWith(`${asked},`);
    })
    .map(({ name }) => name);
}

async function readDefaults(
  service: string,
  options: SessionOptions,
): Promise<Map<string, string>> {
  await using plain = await connect(service, 'preflight', { ...options, withServerDefaults: true });
  const { rows } = await plain.query<{ name: string; setting: string }>(
    // Without an operator: this session has the search path of its role, which may name one of its own.
    /* sql */ `select name, setting from pg_catalog.pg_settings`,
  );
  const told = new Set(TOLD);
  return new Map(rows.flatMap(({ name, setting }) => (told.has(name) ? [[name, setting]] : [])));
}
