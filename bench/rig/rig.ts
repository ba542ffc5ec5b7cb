/** Two PostgreSQL servers, a Temporal server and walferry's workers for measurements; all of it ends with the scope. */
import { appendFileSync, readFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { endBackground } from '../../scripts/local/cluster/background.ts';
import { PostgresServer } from '../../scripts/local/cluster/postgres-server.ts';
import { Workers } from '../../scripts/local/demo/cast.ts';
import { enter } from '../../tests/support/setup-files/environment.ts';
import { startRun } from '../../tests/support/servers.ts';
import { testRun } from '../../tests/support/run.ts';
import { BenchServer } from './server.ts';
import { SERVER_SETTINGS } from './settings.ts';

export class Rig implements AsyncDisposable {
  readonly source: BenchServer;
  readonly target: BenchServer;
  readonly client: Client;
  readonly workers = new Workers(testRun().folder);
  readonly #connection: Connection;
  readonly #stop: () => Promise<void>;

  private constructor(connection: Connection, stop: () => Promise<void>) {
    const run = testRun();
    this.source = new BenchServer(new PostgresServer(run.source));
    this.target = new BenchServer(new PostgresServer(run.target));
    this.client = new Client({ connection });
    this.#connection = connection;
    this.#stop = stop;
  }

  static async open(): Promise<Rig> {
    const { run, stop } = await startRun('bench', {
      temporal: true,
      settings: SERVER_SETTINGS,
      durable: true,
    });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => void stop().finally(() => process.exit(130)));
    }
    try {
      enter(run);
      const connection = await Connection.connect({ address: run.temporalAddress ?? '' });
      return new Rig(connection, stop);
    } catch (error) {
      await stop();
      throw error;
    }
  }

  /** Creates a database of this name on the server and a service of the same name for walferry. */
  async database(server: BenchServer, name: string): Promise<string> {
    const { port, spec } = server.postgres;
    await server.rows('postgres', `drop database if exists ${name} with (force)`);
    await server.rows('postgres', `create database ${name}`);
    const lines = ['host=127.0.0.1', `port=${port ?? 0}`, `user=${spec.role}`, `dbname=${name}`];
    const { serviceFile } = testRun();
    if (!readFileSync(serviceFile, 'utf8').includes(`[${name}]`)) {
      appendFileSync(serviceFile, `[${name}]\n${lines.join('\n')}\n`);
    }
    return name;
  }

  /** The next measurement starts its own, and knows which process does the work. */
  async endWorkers(): Promise<void> {
    await endBackground(testRun().folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
    await this.#stop();
  }
}
