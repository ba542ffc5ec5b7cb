/**
 * Opens every connection to a database. A session states its purpose (application_name), uses the settings of pinned.ts, inherits
 * no timeout from a role or database, and notices within seconds when the other end is gone.
 */
import { setMaxListeners } from 'node:events';
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

/** The purpose of the connection, part of application_name, so that an operator can identify it in pg_stat_activity. */
export type Purpose =
  | 'preflight'
  | 'identity'
  | 'schema'
  | 'slot'
  | 'snapshot'
  | 'plan'
  | 'copy'
  | 'limits'
  | 'guard'
  | 'index'
  | 'stream'
  | 'apply'
  | 'anchor'
  | 'verify'
  | 'definition'
  | 'cutover'
  | 'readiness'
  | 'cleanup'
  | 'watch';

export interface SessionOptions extends Timeouts {
  /**
   * Cancels the connection attempt, and later closes the session: a running query then fails as if the connection was lost, so
   * the caller checks its signal first.
   */
  readonly signal?: AbortSignal;
  readonly connectTimeoutMs?: number;
  /** True: the session keeps the defaults of its server, database and role, so that they can be read. For nothing else. */
  readonly withServerDefaults?: boolean;
  /** A walsender that also accepts SQL, like the stream's connection. */
  readonly replication?: boolean;
}

/** Without a limit, a host that drops packets would block a step until its activity times out, without a reason. */
const CONNECT_TIMEOUT_MS = 15_000;
/** First probe on an idle connection; Linux then probes every second and gives up after ten. */
const KEEPALIVE_DELAY_MS = 10_000;
/**
 * How often the server checks, while it runs a statement, whether the client has closed its socket. Otherwise the statement of a
 * worker that died might still acquire the lock that it waits for.
 */
const CLIENT_CHECK_MS = 300;
/** PostgreSQL truncates application_name to this length. */
const APPLICATION_NAME_BYTES = 63;

/**
 * The way that last worked, by service. A configuration can only use one way: it starts with the one that `connect` found (for
 * example without TLS, when a server answers to TLS but refuses the login over it).
 */
const taken = new Map<string, Way>();

/**
 * The `pg` configuration of a service, also for replication connections. Valid for one client.
 * @throws MigrationError `UnknownService`, `InvalidService`.
 */
export function clientConfig(service: string, purpose: Purpose): pg.ClientConfig {
  const endpoint = endpointOf(service);
  const ways = waysOf(endpoint);
  // The way that last worked is used only while the service still allows it.
  const way = ways.find((one) => one === taken.get(service)) ?? ways[0] ?? 'plain';
  return configure(endpoint, purpose, way, {});
}

export class Connection extends pg.Client implements AsyncDisposable {
  async [Symbol.asyncDispose](): Promise<void> {
    await close(this);
  }
}

/**
 * A connected client with pinned settings; the caller ends it (`await using`).
 * @throws MigrationError `UnknownService`, `InvalidService`, `Denied`, `Unreachable`, `Contention`; `signal.reason`.
 */
export async function connect(
  service: string,
  purpose: Purpose,
  options: SessionOptions = {},
): Promise<Connection> {
  return connectAs((config) => new Connection(config), service, purpose, options);
}

/** As {@link connect}, with a client of another class. */
export async function connectAs<T extends Connection>(
  create: (config: pg.ClientConfig) => T,
  service: string,
  purpose: Purpose,
  options: SessionOptions,
): Promise<T> {
  const endpoint = endpointOf(service);
  const failures: { way: Way; error: unknown }[] = [];
  for (const way of waysOf(endpoint)) {
    options.signal?.throwIfAborted();
    try {
      const client = create(configure(endpoint, purpose, way, options));
      await open(client, options);
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
    // A function, because the driver never prints functions; never undefined, or the driver would look for a password itself.
    password: () => passwordOf(endpoint, env) ?? '',
    ssl,
    ...(ssl !== false && endpoint.sslmode === 'prefer'
      ? { connection: preferringTls({ ssl, ...keep }) }
      : {}),
    ...keep,
    connectionTimeoutMillis: limit === 0 ? CONNECT_TIMEOUT_MS : limit,
    application_name: applicationName(endpoint, purpose),
    // The last of two equal settings wins: the service's options cannot override ours.
    options:
      `${endpoint.options} ${startupOptions(options, options.withServerDefaults === true ? 'limits' : 'all')}`.trim(),
    ...(options.replication === true ? { replication: 'database' } : {}),
  };
}

function applicationName({ applicationName: own }: Endpoint, purpose: Purpose): string {
  const name = own === null ? `walferry ${purpose}` : `walferry ${purpose} (${own})`;
  return Buffer.from(name).subarray(0, APPLICATION_NAME_BYTES).toString();
}

const CHECK_CLIENT = /* sql */ `
  select pg_catalog.set_config('client_connection_check_interval', '${CLIENT_CHECK_MS}ms', false)
   where pg_catalog.current_setting('client_connection_check_interval', true) is not null`;

async function open(
  client: Connection,
  { signal, withServerDefaults = false }: SessionOptions,
): Promise<void> {
  // Without a listener a broken idle connection would end the process; the next query reports it anyway.
  client.on('error', () => undefined);
  const stop = (): void => cut(client);
  // Node warns of a leak from the 11th listener on, and a step may have more sessions than that.
  if (signal) setMaxListeners(0, signal);
  signal?.addEventListener('abort', stop, { once: true });
  client.once('end', () => signal?.removeEventListener('abort', stop));
  try {
    await client.connect();
    await pinNewer(client, withServerDefaults);
    // On operating systems that cannot check the socket, the server rejects the value.
    await client.query(CHECK_CLIENT).catch(() => undefined);
  } catch (error) {
    cut(client);
    throw error;
  }
}

/** A login event trigger (17 and later) runs after start-up; its settings would override ours. */
const AS_STARTED = /* sql */ `reset all`;

/**
 * For clients created from a {@link clientConfig}: the first statement after they connected.
 * @param asLogin keep the settings that the login established.
 */
export async function pinNewer(client: pg.ClientBase, asLogin = false): Promise<void> {
  // A separate message: walsenders before 13.6 and 14.2 do not parse what follows a semicolon.
  if (!asLogin) await client.query(AS_STARTED);
  await client.query(PIN_NEWER);
}

/** How long closing waits for a server that may be gone. */
const CLOSE_TIMEOUT_MS = 5_000;

async function close(client: pg.Client): Promise<void> {
  const timer = after(() => cut(client), CLOSE_TIMEOUT_MS);
  try {
    await client.end();
  } catch {
    // Closed by the other side, which is just as good.
  } finally {
    clearTimeout(timer);
  }
}

/** Closes a session without a Terminate message: a clean end would wait for a server or network that may not answer. */
export function cut(client: pg.Client): void {
  client.connection.stream.destroy();
}
