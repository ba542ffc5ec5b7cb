/**
 * A pair of empty databases for one test, one on the source cluster and one on the target, with service names in the
 * run's service file: `await using db = await freshPair()`. At the end of the scope slots, prepared transactions and
 * databases are removed, whatever the test left.
 */
import { randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import pg from 'pg';
import { LOOPBACK } from '../../scripts/local/cluster/port.ts';
import { PostgresServer } from '../../scripts/local/cluster/postgres-server.ts';
import { testRun } from './run.ts';
import { until } from './until.ts';

export interface FreshPair extends AsyncDisposable {
  /** Service name of the source database; also the database's name. */
  readonly source: string;
  /** Service name of the target database; also the database's name. */
  readonly target: string;
  readonly sourceClient: pg.Client;
  readonly targetClient: pg.Client;
}

/** The source cluster of this run: `stop`, `kill`, `start`, `signal`. Restarting it disturbs every other test. */
export function sourceServer(): PostgresServer {
  return new PostgresServer(testRun().source);
}

/** The target cluster of this run. */
export function targetServer(): PostgresServer {
  return new PostgresServer(testRun().target);
}

/** Where a pair is created, if not on the servers of the run. */
export interface Places {
  readonly source?: PostgresServer;
  readonly target?: PostgresServer;
}

/** Names as the server writes them, to differ from the clusters' UTF8. */
export interface Encodings {
  readonly source?: string;
  readonly target?: string;
}

/** Services on other servers than those of the run. */
const elsewhere = new Map<string, PostgresServer>();

/** Creates the two databases and connects to both as superuser. */
export async function freshPair(
  places: Places = {},
  encodings: Encodings = {},
): Promise<FreshPair> {
  const id = randomBytes(5).toString('hex');
  const [source, target] = await Promise.all([
    freshDatabase(places.source ?? sourceServer(), `src_${id}`, encodings.source),
    freshDatabase(places.target ?? targetServer(), `dst_${id}`, encodings.target),
  ]);
  if (places.source) elsewhere.set(source.name, places.source);
  if (places.target) elsewhere.set(target.name, places.target);
  return {
    source: source.name,
    target: target.name,
    sourceClient: source.client,
    targetClient: target.client,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([source.drop(), target.drop()]);
    },
  };
}

/** A client for a service of this run, as superuser, closed at the end of the scope. */
export async function connectTo(service: string): Promise<pg.Client & AsyncDisposable> {
  const ours = service.startsWith('src_') ? sourceServer() : targetServer();
  const server = elsewhere.get(service) ?? ours;
  const client = await connected(server, service);
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

/**
 * Adds a service to the run's service file.
 * @param settings libpq's names: host, port, dbname, user, …
 */
export function addService(name: string, settings: Readonly<Record<string, string>>): void {
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  // One short append is one write: test processes share the file.
  appendFileSync(testRun().serviceFile, `\n[${name}]\n${lines.join('\n')}\n`);
}

async function freshDatabase(
  server: PostgresServer,
  name: string,
  encoding?: string,
): Promise<{ name: string; client: pg.Client; drop: () => Promise<void> }> {
  const options =
    encoding === undefined ? '' : `encoding ${pg.escapeLiteral(encoding)} template template0`;
  await server.query('postgres', async (client) => {
    // Copying files takes a third of the time of writing every block to the WAL, the default from version 15 on.
    const { rows } = await client.query<{ copies: boolean }>(
      /* sql */ `select current_setting('server_version_num')::int >= 150000 as copies`,
    );
    const strategy = rows[0]?.copies === true ? 'strategy file_copy' : '';
    await client.query(`create database ${name} ${options} ${strategy}`);
  });
  addService(name, {
    host: LOOPBACK,
    port: String(server.port),
    dbname: name,
    user: server.spec.role,
  });
  const client = await connected(server, name);
  const drop = async (): Promise<void> => {
    await client.end().catch(() => undefined);
    await dropDatabase(server, name);
  };
  return { name, client, drop };
}

async function connected(server: PostgresServer, database: string): Promise<pg.Client> {
  const client = new pg.Client(server.connection(database));
  // Tests restart servers; the next query reports a broken idle connection.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function dropDatabase(server: PostgresServer, name: string): Promise<void> {
  await until(`database ${name} to be dropped`, async () => {
    await server.query('postgres', async (client) => {
      const prepared = await client.query<{ gid: string }>(
        /* sql */ `select gid from pg_prepared_xacts where database = $1`,
        [name],
      );
      if (prepared.rows.length > 0) {
        await server.query(name, async (inside) => {
          for (const { gid } of prepared.rows) {
            await inside.query(/* sql */ `rollback prepared ${pg.escapeLiteral(gid)}`);
          }
        });
      }
      // A killed worker's walsender lives until it notices; its slot cannot be dropped before.
      await client.query(
        /* sql */ `select pg_terminate_backend(active_pid)
                   from pg_replication_slots where database = $1 and active_pid is not null`,
        [name],
      );
      await client.query(
        /* sql */ `select pg_drop_replication_slot(slot_name)
                   from pg_replication_slots where database = $1`,
        [name],
      );
      await client.query(
        /* sql */ `drop database if exists ${pg.escapeIdentifier(name)} with (force)`,
      );
    });
    return true;
  });
}
