/**
 * The Temporal server of this run, as the tests use it: the real CLI (that is how a person starts a migration), the client,
 * and the server's process to kill and start again.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { TemporalServer } from '../../scripts/local/cluster/temporal-server.ts';
import { testRun } from './run.ts';

const CLI_MILLISECONDS = 230_000;
const CLI_OUTPUT_BYTES = 256 * 1024 * 1024;

/** The Temporal server of this run: `kill`, `start`, `signal`, `stop`, `address`, `uiAddress`. */
export function temporalServer(): TemporalServer {
  const { temporal } = testRun();
  if (!temporal) throw new Error('only projects e2e and workflow have a Temporal server');
  return new TemporalServer(temporal);
}

/** Kills the server with SIGKILL and starts it again on its database file, on the same port. */
export async function restartTemporal(): Promise<void> {
  const server = temporalServer();
  const before = server.address;
  await server.kill();
  await server.start();
  if (server.address !== before) throw new Error(`port of ${before} was taken by another process`);
}

/** A client of the run's server, closed at the end of the scope. */
export async function connectTemporal(): Promise<Client & AsyncDisposable> {
  const connection = await Connection.connect({ address: temporalServer().address });
  const client = new Client({ connection, namespace: 'default' });
  return Object.assign(client, { [Symbol.asyncDispose]: () => connection.close() });
}

/** How a CLI command ended. */
export interface CliOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the Temporal CLI against this run's server, e.g. `temporal('workflow', 'describe', '-w', 'orders')`. */
export async function temporal(...words: string[]): Promise<CliOutcome> {
  const { program } = temporalServer().spec;
  try {
    const { stdout, stderr } = await promisify(execFile)(program, words, {
      maxBuffer: CLI_OUTPUT_BYTES,
      timeout: CLI_MILLISECONDS,
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    return failedOutcome(error);
  }
}

function failedOutcome(error: unknown): CliOutcome {
  if (!(error instanceof Error)) throw error;
  const { code, stdout, stderr } = { code: 0, stdout: '', stderr: '', ...error };
  // A text code (ENOENT) means that the program did not run at all.
  if (typeof code !== 'number') throw error;
  return { code: code === 0 ? -1 : code, stdout: String(stdout), stderr: String(stderr) };
}
