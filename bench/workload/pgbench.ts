/** PostgreSQL's own load generator. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { testRun } from '../../tests/support/run.ts';
import type { BenchServer } from '../rig/server.ts';

export interface Load {
  readonly clients: number;
  /** Of each client; or `seconds`. */
  readonly transactions?: number;
  readonly seconds?: number;
  /** Transactions per second of all clients together; as many as possible without it. */
  readonly rate?: number;
  readonly variables?: Readonly<Record<string, string>>;
  /** Waiting for the disk would only slow the preparation. */
  readonly synchronousCommit?: boolean;
  /** Ends the load early: this is not a failure. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a script to its end.
 * @returns transactions per second that it reached; NaN when it was ended.
 * @throws Error with the end of pgbench's output.
 */
export async function pgbench(
  server: BenchServer,
  database: string,
  script: string,
  load: Load,
): Promise<number> {
  const file = path.join(testRun().folder, `${randomBytes(6).toString('hex')}.pgbench`);
  writeFileSync(file, script);
  const { clients, transactions, seconds, rate, variables = {} } = load;
  const args = [
    ...['-n', '-f', file, '-c', String(clients), '-j', '2'],
    ...(transactions === undefined ? [] : ['-t', String(transactions)]),
    ...(seconds === undefined ? [] : ['-T', String(seconds)]),
    ...(rate === undefined ? [] : ['-R', String(rate)]),
    ...Object.entries(variables).flatMap(([name, value]) => ['-D', `${name}=${value}`]),
  ];
  const options = load.synchronousCommit === true ? '' : '-c synchronous_commit=off';
  try {
    const said = await new Promise<string>((resolve, reject) => {
      const child = spawn(server.program('pgbench'), args, {
        env: server.environment(database, options),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let out = '';
      child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()));
      child.stderr.on('data', (bytes: Buffer) => (out += bytes.toString()));
      child.on('error', reject);
      const { signal } = load;
      signal?.addEventListener('abort', () => child.kill(), { once: true });
      child.on('exit', (code) =>
        code === 0 || signal?.aborted === true
          ? resolve(out)
          : reject(new Error(`pgbench: ${out.slice(-500)}`)),
      );
    });
    return Number(/^tps = ([\d.]+)/m.exec(said)?.[1]);
  } finally {
    rmSync(file, { force: true });
  }
}
