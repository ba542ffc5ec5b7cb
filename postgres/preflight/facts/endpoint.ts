/**
 * Whether a service connects directly to one server or through a pooler. Sessions export and import snapshots, keep settings and
 * hold locks; none of that works behind a pooler that shares backends.
 *
 * SQL cannot detect a pooler, so a test provokes it: a second session opens a transaction while the first is idle. A pooler then
 * gives it the first one's backend (same process id), or later serves the first session from another backend.
 */
import type pg from 'pg';
import { MigrationError } from '../../../contract/failure.ts';
import { classify } from '../../connection/failure.ts';
import { linkOf, type Link } from '../../connection/link.ts';
import { READABLE } from '../../connection/pinned.ts';
import { connect, type SessionOptions } from '../../connection/connect.ts';
import { backendPidOf } from '../../connection/socket.ts';
import { ownSession, type SessionFacts } from './own-session.ts';

export interface EndpointFacts {
  readonly link: Link;
  /** Number of servers that the connections reached, distinguished by their start time. */
  readonly servers: number;
  /** A session did not keep its own backend. */
  readonly shared: boolean;
  /** The process id announced at connection startup is not the backend's. */
  readonly proxied: boolean;
  /** Settings that were requested at startup but are not in effect. */
  readonly lostSettings: readonly string[];
  readonly session: SessionFacts;
  /** Why a replication connection failed; null if it succeeded or was not tried. */
  readonly replication: MigrationError | null;
  /** Session defaults of this role in this database that matter to an application. */
  readonly defaults: ReadonlyMap<string, string>;
}

/** Whether every session has its own backend of one server, with our settings; otherwise no other facts are reliable. */
export function isOwn({ servers, shared, lostSettings }: EndpointFacts): boolean {
  return servers === 1 && !shared && lostSettings.length === 0;
}

interface Backend {
  readonly pid: number;
  readonly started: string;
}

const BACKEND = /* sql */ `
  select pg_catalog.pg_backend_pid() as pid, pg_catalog.pg_postmaster_start_time()::text as started`;

/** Settings that change what an application reads or writes. */
const APPLICATION_SETTINGS = [
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
 * @param replication whether the side must also accept a replication connection.
 * @throws MigrationError if a further connection fails.
 */
export async function readEndpoint(
  service: string,
  client: pg.Client,
  replication: boolean,
  options: SessionOptions,
): Promise<EndpointFacts> {
  const first = await readBackend(client);
  await using second = await connect(service, 'preflight', options);
  await second.query(/* sql */ `begin read only`);
  const other = await readBackend(second);
  const again = await readBackend(client);
  const lostSettings = await readLost(client);
  await second.query(/* sql */ `rollback`);
  const backends = [first, other, again];
  let refusal: MigrationError | null = null;
  if (replication) {
    const sender = await readWalSender(service, options);
    if (sender instanceof MigrationError) refusal = sender;
    else backends.push(sender);
  }
  return {
    link: linkOf(service, client),
    servers: new Set(backends.map(({ started }) => started)).size,
    shared: first.pid === other.pid || first.pid !== again.pid,
    proxied: backendPidOf(client) !== first.pid,
    lostSettings,
    session: await ownSession(client),
    replication: refusal,
    defaults: await readDefaults(service, options),
  };
}

/** Without parameters: this uses the simple protocol, the only one that a walsender supports. */
async function readBackend(client: pg.Client): Promise<Backend> {
  const { rows } = await client.query<Backend>(BACKEND);
  const [row] = rows;
  if (!row) throw new Error('a SELECT without FROM returned no row');
  return row;
}

async function readWalSender(
  service: string,
  options: SessionOptions,
): Promise<Backend | MigrationError> {
  try {
    await using sender = await connect(service, 'preflight', { ...options, replication: true });
    return await readBackend(sender);
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
      // DateStyle is reported as `ISO, MDY`.
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
    // No operators here: the search path of the role is in effect and may resolve them to user-defined ones.
    /* sql */ `select name, setting from pg_catalog.pg_settings`,
  );
  const wanted = new Set(APPLICATION_SETTINGS);
  return new Map(rows.flatMap(({ name, setting }) => (wanted.has(name) ? [[name, setting]] : [])));
}
