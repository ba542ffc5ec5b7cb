/** One of the two PostgreSQL servers of a measurement: SQL, programs of PostgreSQL, and the CPU time of its sessions. */
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { serverEnvironment } from '../../scripts/local/cluster/configuration.ts';
import type { PostgresServer } from '../../scripts/local/cluster/postgres-server.ts';
import { threadSeconds } from './usage.ts';

const OUTPUT_BYTES = 64 * 1024 * 1024;

export class BenchServer {
  readonly postgres: PostgresServer;

  constructor(postgres: PostgresServer) {
    this.postgres = postgres;
  }

  /** Runs one command or several, and returns the rows of the last. */
  async rows<T extends pg.QueryResultRow>(database: string, sql: string): Promise<T[]> {
    return this.postgres.query(database, async (client) => {
      const result = await client.query<T>(sql);
      const last = Array.isArray(result) ? (result.at(-1) as pg.QueryResult<T>) : result;
      return last.rows;
    });
  }

  /** Number of rows that one command has changed. */
  async changed(database: string, sql: string): Promise<number> {
    return this.postgres.query(database, async (client) => (await client.query(sql)).rowCount ?? 0);
  }

  /** The first column of the first row, as text. */
  async value(database: string, sql: string): Promise<string> {
    return this.postgres.query(database, async (client) => {
      const result = await client.query<[string | number | null]>({ text: sql, rowMode: 'array' });
      return String(result.rows[0]?.[0] ?? '');
    });
  }

  /** For programs of PostgreSQL; the password is in PGPASSFILE. */
  environment(database: string, options = ''): NodeJS.ProcessEnv {
    const { spec, port } = this.postgres;
    return {
      ...serverEnvironment(),
      PGHOST: '127.0.0.1',
      PGPORT: String(port ?? 0),
      PGUSER: spec.role,
      PGDATABASE: database,
      PGPASSFILE: process.env['PGPASSFILE'] ?? '',
      PGOPTIONS: options,
    };
  }

  /** The same over the Unix socket in the data folder. */
  socketEnvironment(database: string): NodeJS.ProcessEnv {
    const { spec, dataFolder } = this.postgres;
    return { ...this.environment(database), PGHOST: dataFolder, PGPASSWORD: spec.password };
  }

  /** The connection string without a password, as `create subscription` and others take it. */
  conninfo(database: string): string {
    const { spec, port } = this.postgres;
    return `host=127.0.0.1 port=${port ?? 0} user=${spec.role} password=${spec.password} dbname=${database}`;
  }

  program(name: string): string {
    return path.join(this.postgres.spec.programs, name);
  }

  /** Runs a program of PostgreSQL to its end. @throws Error with the end of its output. */
  async run(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
    const { stdout } = await promisify(execFile)(this.program(name), [...args], {
      env,
      maxBuffer: OUTPUT_BYTES,
    });
    return stdout;
  }

  /** Runs a shell command line with this server as its default. @throws Error when a part of it fails. */
  async shell(command: string, env: NodeJS.ProcessEnv): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const child = spawn('bash', ['-c', `set -eo pipefail; ${command}`], {
        env,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
      child.on('error', reject);
      child.on('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`${command}: ${said.slice(-500)}`)),
      );
    });
  }

  /** CPU seconds of each session that the condition on `pg_stat_activity` selects, by what no other session has. */
  async sessions(condition: string): Promise<ReadonlyMap<string, number>> {
    const rows = await this.rows<{ pid: number; name: string }>(
      'postgres',
      `select pid, format('%s %s', pid, backend_start) as name from pg_stat_activity where ${condition}`,
    );
    return new Map(
      rows.flatMap(({ pid, name }) => {
        const seconds = threadSeconds(pid);
        return seconds === undefined ? [] : [[name, seconds] as const];
      }),
    );
  }

  /** The sum over live sessions. */
  async sessionSeconds(condition: string): Promise<number> {
    return [...(await this.sessions(condition)).values()].reduce((sum, one) => sum + one, 0);
  }

  /** Flushes dirty pages, so that it does not happen in the next measurement. */
  async checkpoint(): Promise<void> {
    await this.rows('postgres', 'checkpoint');
  }

  log(): string {
    return readFileSync(this.postgres.logFile, 'utf8');
  }
}
