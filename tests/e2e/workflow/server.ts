/** A separate Temporal server, in memory, with settings that the shared one must not have. */
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import path from 'node:path';
import { LOOPBACK, freePort } from '../../../scripts/local/cluster/port.ts';
import { processOf, writeRecord } from '../../../scripts/local/cluster/process.ts';
import { findTemporal } from '../../../scripts/local/setup/temporal-program.ts';
import { until } from '../../support/until.ts';

export interface OwnServer extends AsyncDisposable {
  readonly address: string;
  /** The CLI that it was started with. */
  readonly program: string;
}

/**
 * Starts the server; it ends with the scope.
 * @param settings dynamic configuration, e.g. when continue-as-new is suggested.
 * @param processes folder for the record by which a later run ends a server that this one left.
 */
export async function startOwnServer(
  settings: Readonly<Record<string, string>>,
  processes?: string,
): Promise<OwnServer> {
  const program = findTemporal()?.program;
  if (program === undefined) throw new Error('no Temporal CLI: npm run setup');
  const port = await freePort();
  const dynamic = Object.entries(settings).flatMap(([name, value]) => [
    '--dynamic-config-value',
    `${name}=${value}`,
  ]);
  const child = spawn(
    program,
    [
      ...['server', 'start-dev', '--headless', '--ip', LOOPBACK, '--port', String(port)],
      ...['--log-level', 'error', ...dynamic],
    ],
    { stdio: 'ignore' },
  );
  const started = child.pid === undefined ? undefined : processOf(child.pid);
  if (started && processes !== undefined) {
    writeRecord(path.join(processes, `${started.pid}.json`), started);
  }
  await until('the own Temporal server to listen', () => canConnect(port), { seconds: 60 });
  return {
    address: `${LOOPBACK}:${port}`,
    program,
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, LOOPBACK);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
