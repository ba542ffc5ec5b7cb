/**
 * One local PostgreSQL server: created, started, stopped, found again. It lives in a folder of its own (`data`,
 * `server.log`, `server.json`), listens on TCP only (socket paths are limited to about 100 bytes, folders are not) and
 * requires a password, so that password handling is used and not only configured.
 *
 * It counts as up only when exactly the process that we started is alive and answers from our data folder: another
 * server on the same port is not ours.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { renameSync, rmSync, writeFileSync, appendFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { give, makeFolderFor, serverAccount } from './account.ts';
import { CONFIGURATION, serverEnvironment, writeConfiguration } from './configuration.ts';
import { LOOPBACK, freePort } from './port.ts';
import { clearStaleLock, ownerOfData, readyLine } from './postmaster.ts';
import { endProcess } from './process.ts';
import { Server } from './server.ts';
import type { PostgresSpec } from './postgres-spec.ts';

const PORT_ATTEMPTS = 5;
const POLL_MILLISECONDS = 30;
/** Children of a killed server hold its shared memory for a moment, and a new server cannot start before they are gone. */
const RETRY_AFTER_KILL_SECONDS = 20;

export class PostgresServer extends Server {
  readonly spec: PostgresSpec;

  constructor(spec: PostgresSpec) {
    super(spec.folder);
    this.spec = spec;
  }

  get dataFolder(): string {
    return path.join(this.spec.folder, 'data');
  }

  /** The port of the server, or of its last run. */
  get port(): number | undefined {
    const port = this.record?.['port'];
    return typeof port === 'number' ? port : undefined;
  }

  /** Creates the data folder if it is missing. An interrupted earlier try leaves `data.new`, never half a `data`. */
  initialise(): void {
    if (existsSync(path.join(this.dataFolder, 'PG_VERSION'))) return;
    const account = serverAccount();
    mkdirSync(this.spec.folder, { recursive: true });
    chmodSync(this.spec.folder, 0o755);
    const fresh = `${this.dataFolder}.new`;
    rmSync(fresh, { recursive: true, force: true });
    makeFolderFor(fresh, account);
    // A file and not an argument: every user can read arguments.
    const passwordFile = path.join(this.spec.folder, 'password.new');
    writeFileSync(passwordFile, this.spec.password + '\n', { mode: 0o600 });
    give(passwordFile, account);
    try {
      const outcome = spawnSync(
        path.join(this.spec.programs, 'initdb'),
        [
          ...['-D', fresh, '-U', this.spec.role, '--auth=scram-sha-256'],
          ...[`--pwfile=${passwordFile}`, '--encoding=UTF8', '--locale=C', '--no-sync'],
        ],
        { ...account, cwd: '/', env: serverEnvironment(), encoding: 'utf8' },
      );
      if (outcome.status !== 0) {
        const reason = outcome.error?.message ?? outcome.stderr;
        throw new Error(`initdb for ${this.spec.name} failed: ${reason.trim()}`);
      }
    } finally {
      rmSync(passwordFile, { force: true });
    }
    // Our settings are in a separate file, so that they can be rewritten at every start; `alter system` still overrides them.
    const include = `\ninclude_if_exists = '${CONFIGURATION}'\n`;
    appendFileSync(path.join(fresh, 'postgresql.conf'), include);
    renameSync(fresh, this.dataFolder);
  }

  /**
   * Starts the server unless it is up, and waits until it answers.
   * @returns the port; the preferred one or the last one if that is free, otherwise another one.
   * @throws Error with the end of the server's log.
   */
  async start(preferredPort?: number): Promise<number> {
    if (await this.comesUp()) return this.port ?? 0;
    await this.stop();
    this.initialise();
    writeConfiguration(this.spec, this.dataFolder);
    await clearStaleLock(this.dataFolder);
    const deadline = Date.now() + RETRY_AFTER_KILL_SECONDS * 1000;
    let wanted = preferredPort ?? this.port;
    let triedPorts = 0;
    for (;;) {
      const port = await freePort(wanted);
      const failure = await this.#launch(port);
      if (failure === undefined) return port;
      const sharedMemoryInUse = failure.includes('shared memory block');
      // Between our check and the server's start, another process may take the port.
      const portTaken = failure.includes('could not bind') || failure.includes('could not create');
      if (portTaken && ++triedPorts < PORT_ATTEMPTS) wanted = undefined;
      else if (!sharedMemoryInUse || Date.now() > deadline) {
        throw new Error(`${this.spec.name} (PostgreSQL) did not start; its log ends:\n${failure}`);
      }
      await sleep(POLL_MILLISECONDS);
    }
  }

  /** Stops the server if it runs: `fast` ends sessions and writes a checkpoint, `immediate` is an intended crash. */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const running = this.process ?? ownerOfData(this.dataFolder);
    if (!running) return;
    await endProcess(running, [
      ...(mode === 'fast' ? ([['SIGINT', 30_000]] as const) : []),
      ['SIGQUIT', 10_000],
      ['SIGKILL', 5_000],
    ]);
  }

  /** True when our process is alive and answers a query from our data folder. */
  async isUp(): Promise<boolean> {
    if (!this.process || this.port === undefined) return false;
    return this.#answers(this.port);
  }

  /** Connection settings for `pg`; for the harness and the cluster command, not for the product. */
  connection(database: string): pg.ClientConfig {
    return {
      host: LOOPBACK,
      port: this.port ?? 0,
      database,
      user: this.spec.role,
      password: this.spec.password,
    };
  }

  /** Creates a database if it is missing. */
  async ensureDatabase(database: string): Promise<void> {
    await this.query('postgres', async (client) => {
      const found = await client.query(/* sql */ `select 1 from pg_database where datname = $1`, [
        database,
      ]);
      if (found.rowCount === 0) {
        await client.query(/* sql */ `create database ${pg.escapeIdentifier(database)}`);
      }
    });
  }

  /** Runs something on a connection that is closed afterwards. */
  async query<T>(database: string, body: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ ...this.connection(database), connectionTimeoutMillis: 5_000 });
    // A server that stops while we are connected must not end this process.
    client.on('error', () => undefined);
    try {
      await client.connect();
      return await body(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async #answers(port: number): Promise<boolean> {
    try {
      const folder = await this.query('postgres', async (client) => {
        const result = await client.query<{ folder: string }>(
          /* sql */ `select current_setting('data_directory') as folder`,
        );
        return result.rows[0]?.folder;
      });
      return folder === this.dataFolder && this.port === port;
    } catch {
      return false;
    }
  }

  /** Starts the process on this port; returns undefined when it answers, otherwise the end of its log. */
  #launch(port: number): Promise<string | undefined> {
    return this.launch({
      program: path.join(this.spec.programs, 'postgres'),
      args: ['-D', this.dataFolder, '-p', String(port)],
      options: { ...serverAccount(), cwd: '/', env: serverEnvironment() },
      ports: { port },
      answers: async ({ pid }) => readyLine(this.dataFolder, pid) && this.#answers(port),
      giveUp: () => this.stop('immediate'),
    });
  }
}
