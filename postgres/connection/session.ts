/**
 * Sessions: how every connection to a database is made. A session says what it is for (application_name), has the settings
 * of pinned.ts, inherits no timeout from a role or database, and notices within seconds that the other end is gone.
 */
import { setTimeout as after } from 'node:timers';
import pg from 'pg';
import { connectFailure, isFinal } from './connect-failure.ts';
import { preferringTls } from './negotiation.ts';
import { passwordOf } from './password.ts';
import { endpointOf } from './service.ts';
import { PIN_NEWER, startupOptions } from './pinned.ts';
import type { Timeouts } from './pinned.ts';
import type { Endpoint } from './service.ts';
import { tlsOptions, waysOf } from './tls.ts';
import type { Way } from './tls.ts';

/** What the connection is for; part of application_name, so that an operator sees in pg_stat_activity who it is. */
export type Purpose =
  | 'preflight'
  | 'identity'
  | 'schema'
  | 'slot'
  | 'owner'
  | 'plan'
  | 'copy'
  | 'limits'
  | 'guard'
  | 'index'
  | 'stream'
  | 'apply'
  | 'cutover'
  | 'cleanup';

export interface SessionOptions extends Timeouts {
  /**
   * Ends the attempt to connect, and later the session: a running query then fails like one whose connection was lost, and
   * the caller asks its signal first.
   */
  readonly signal?: AbortSignal;
  /** Milliseconds; for tests and quick looks. */
  readonly connectTimeoutMs?: number;
  /** True: the session has the defaults of its server, database and role, so that they can be looked at. For nothing else. */
  readonly withServerDefaults?: boolean;
  /** A walsender that also takes SQL, as the stream's connection is. */
  readonly replication?: boolean;
}

/** A host that swallows packets would hold a step until its activity times out, and leave it without a reason. */
const CONNECT_TIMEOUT_MS = 15_000;
/** First probe on an idle connection; Linux then asks every second and gives up after ten. */
const KEEPALIVE_DELAY_MS = 10_000;
/** A backend whose worker died should not work on: the server looks for the closed socket this often. */
const CLIENT_CHECK_MS = 1_000;
/** PostgreSQL cuts application_name here. */
const APPLICATION_NAME_BYTES = 63;

/**
 * The way that a server took last, by service. A configuration cannot try two ways by itself; with this it begins with the
 * one that `connect` found to work (a server that answers to TLS and then refuses the login over it, for one).
 */
const taken = new Map<string, Way>();

/**
 * The `pg` configuration of a service; also what the replication connection starts from. Good for one client.
 * @throws MigrationError `UnknownService`, `InvalidService`.
 */
export function clientConfig(
  service: string,
  purpose: Purpose,
  options: SessionOptions = {},
): pg.ClientConfig {
  const endpoint = endpointOf(service);
  const ways = waysOf(endpoint);
  // What was taken once counts only as long as the service still allows it.
  const way = ways.find((one) => one === taken.get(service)) ?? ways[0] ?? 'plain';
  return configure(endpoint, purpose, way, options);
}

/**
 * A connected client with pinned settings; the caller ends it (`await using`).
 * @throws MigrationError `UnknownService`, `InvalidService`, `Denied`, `Unreachable`, `Contention`; `signal.reason`.
 */
export async function connect(
  service: string,
  purpose: Purpose,
  options: SessionOptions = {},
): Promise<pg.Client & AsyncDisposable> {
  const endpoint = endpointOf(service);
  const failures: { way: Way; error: unknown }[] = [];
  for (const way of waysOf(endpoint)) {
    options.signal?.throwIfAborted();
    try {
      const client = await open(configure(endpoint, purpose, way, options), options);
      taken.set(service, way);
      return client;
    } catch (error) {
      options.signal?.throwIfAborted();
      failures.push({ way, error });
      if (isFinal(error)) break;
    }
  }
  throw connectFailure(endpoint, failures);
}

function configure(
  endpoint: Endpoint,
  purpose: Purpose,
  way: Way,
  options: SessionOptions,
): pg.ClientConfig {
  const env = process.env;
  const ssl = way === 'tls' ? tlsOptions(endpoint, env) : false;
  const keep = { keepAlive: true, keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS };
  const limit = options.connectTimeoutMs ?? endpoint.connectTimeoutMs;
  return {
    host: endpoint.hostaddr ?? endpoint.host,
    port: endpoint.port,
    database: endpoint.database,
    user: endpoint.user,
    // A function, because the driver prints no functions; and never undefined, or it would look for a password itself.
    password: () => passwordOf(endpoint, env) ?? '',
    ssl,
    ...(ssl !== false && endpoint.sslmode === 'prefer'
      ? { connection: preferringTls({ ssl, ...keep }) }
      : {}),
    ...keep,
    connectionTimeoutMillis: limit === 0 ? CONNECT_TIMEOUT_MS : limit,
    application_name: applicationName(endpoint, purpose),
    // The last of two equal settings counts: the service's own options cannot undo ours.
    options:
      `${endpoint.options} ${startupOptions(options, options.withServerDefaults === true ? 'limits' : 'all')}`.trim(),
    ...(options.replication === true ? { replication: 'database' } : {}),
  };
}

function applicationName({ applicationName: own }: Endpoint, purpose: Purpose): string {
  const name = own === null ? `walferry ${purpose}` : `walferry ${purpose} (${own})`;
  return Buffer.from(name).subarray(0, APPLICATION_NAME_BYTES).toString();
}

const LOOK_FOR_CLIENT = /* sql */ `
  select pg_catalog.set_config('client_connection_check_interval', '${CLIENT_CHECK_MS}ms', false)
   where pg_catalog.current_setting('client_connection_check_interval', true) is not null`;

async function open(
  config: pg.ClientConfig,
  { signal, withServerDefaults = false }: SessionOptions,
): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client(config);
  // Without a listener a broken idle connection would end the process; the next query reports it anyway.
  client.on('error', () => undefined);
  const stop = (): void => cut(client);
  signal?.addEventListener('abort', stop, { once: true });
  client.once('end', () => signal?.removeEventListener('abort', stop));
  try {
    await client.connect();
    await pinNewer(client, withServerDefaults);
    // Some operating systems cannot look; the server refuses the value there.
    await client.query(LOOK_FOR_CLIENT).catch(() => undefined);
  } catch (error) {
    cut(client);
    throw error;
  }
  return Object.assign(client, { [Symbol.asyncDispose]: () => close(client) });
}

/** What an event trigger on login (17 on) has set for the session comes after the start-up, and would undo it. */
const AS_STARTED = /* sql */ `reset all`;

/**
 * For clients that are made from a {@link clientConfig}: the first statement after they connected.
 * @param asLogin leaves what the login itself has set.
 */
export async function pinNewer(client: pg.ClientBase, asLogin = false): Promise<void> {
  // In a message of its own: walsenders before 13.6 and 14.2 do not parse what follows a semicolon.
  if (!asLogin) await client.query(AS_STARTED);
  await client.query(PIN_NEWER);
}

/** A server that is gone does not answer the goodbye; nobody waits longer for it than this. */
const CLOSE_TIMEOUT_MS = 5_000;

async function close(client: pg.Client): Promise<void> {
  const timer = after(() => cut(client), CLOSE_TIMEOUT_MS);
  try {
    await client.end();
  } catch {
    // Ended by the other side: what was to be reached is reached.
  } finally {
    clearTimeout(timer);
  }
}

/** Ends a session without a word: a polite end would wait for a server or network that may not answer. */
export function cut(client: pg.Client): void {
  client.connection.stream.destroy();
}
