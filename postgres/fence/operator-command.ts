/**
 * The operator's own commands of a fence of kind `command`: a pooler's PAUSE, a feature flag. They are programs that the worker's
 * environment names, never text of the input: whoever may start a migration must not be able to run programs on the worker. No
 * shell reads them, and their output goes nowhere: it may hold secrets, and logs have many readers.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';

export interface OperatorCommands {
  /** Absolute paths of programs. They are repeated after a failure, so they have to be idempotent. */
  readonly close: string;
  readonly open: string;
  /** Longest run of either. */
  readonly milliseconds: number;
}

export const DEFAULT_SECONDS = 10;
export const MOST_SECONDS = 600;

/**
 * Reads `WALFERRY_FENCE_CLOSE`, `WALFERRY_FENCE_OPEN` and `WALFERRY_FENCE_SECONDS`.
 * @throws MigrationError `FenceRefused` naming the variable.
 */
export function commandsOf(env: NodeJS.ProcessEnv = process.env): OperatorCommands {
  const seconds = Number(env['WALFERRY_FENCE_SECONDS'] ?? DEFAULT_SECONDS);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MOST_SECONDS) {
    throw new MigrationError(
      'FenceRefused',
      `WALFERRY_FENCE_SECONDS on the worker must be a whole number from 1 to ${MOST_SECONDS}`,
    );
  }
  return {
    close: programOf('WALFERRY_FENCE_CLOSE', env),
    open: programOf('WALFERRY_FENCE_OPEN', env),
    milliseconds: seconds * 1000,
  };
}

function programOf(name: string, env: NodeJS.ProcessEnv): string {
  const file = env[name] ?? '';
  const refused = (why: string) =>
    new MigrationError(
      'FenceRefused',
      `${name} on the worker ${why}: set it to the path of a program`,
    );
  if (file === '') throw refused('is not set');
  if (!path.isAbsolute(file)) throw refused('is not an absolute path');
  try {
    accessSync(file, constants.X_OK);
  } catch {
    throw refused('names a file that the worker may not run');
  }
  return file;
}

/**
 * Runs the program in a process group of its own, and kills the group when its input ends: when the worker wants it, or when the
 * worker is gone. A close that outlives its worker would stop the writes after somebody has given them back. It keeps its own time,
 * because a worker may be frozen.
 */
const SUPERVISOR = `
  const [file, milliseconds] = process.argv.slice(1);
  const child = require('node:child_process').spawn(file, [], { stdio: 'ignore', detached: true });
  const stop = () => {
    try { process.kill(-child.pid, 'SIGKILL'); } catch { /* it has ended */ }
  };
  process.stdin.on('end', stop).on('error', stop).resume();
  setTimeout(stop, Number(milliseconds) + 2000).unref();
  child.once('error', () => process.exit(127));
  child.once('exit', (code, signal) =>
    process.exit(code ?? 128 + require('node:os').constants.signals[signal]));`;

export interface CommandRun {
  readonly action: 'close' | 'open';
  readonly migration: Migration;
  readonly cutover: string;
  readonly rehearsal?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Runs one of them to its end. It learns what it is for from its environment: `WALFERRY_ACTION` (close, open), `WALFERRY_WORKFLOW`,
 * `WALFERRY_SOURCE`, `WALFERRY_CUTOVER`, and `REHEARSAL=1` in a rehearsal.
 * @throws MigrationError `FenceRefused` with the exit code; when the time is over, after it and its children were killed.
 */
export async function runOperatorCommand(
  commands: OperatorCommands,
  { action, migration, cutover, rehearsal, signal }: CommandRun,
): Promise<void> {
  signal?.throwIfAborted();
  const file = commands[action];
  const failed = (how: string) =>
    new MigrationError(
      'FenceRefused',
      `the command "${path.basename(file)}" that should ${action} the fence ${how}; run it by hand on the worker to see its output`,
    );
  const child = spawn(process.execPath, ['-e', SUPERVISOR, file, String(commands.milliseconds)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Away from the terminal: Ctrl-C is for the worker, which then ends the command in order.
    detached: true,
    env: {
      ...process.env,
      WALFERRY_ACTION: action,
      WALFERRY_WORKFLOW: migration.workflowId,
      WALFERRY_SOURCE: migration.source,
      WALFERRY_CUTOVER: cutover,
      ...(rehearsal === true ? { REHEARSAL: '1' } : {}),
    },
  });
  let late = false;
  child.stdin.on('error', () => undefined);
  const stop = () => child.stdin.destroy();
  const timer = setTimeout(() => {
    late = true;
    stop();
  }, commands.milliseconds);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const end = await new Promise<string | null>((resolve) => {
      child.once('error', () => resolve('could not be started'));
      child.once('exit', (code, by) =>
        resolve(code === 0 ? null : `ended with ${code === null ? by : `exit code ${code}`}`),
      );
    });
    signal?.throwIfAborted();
    if (late) throw failed(`did not end within ${commands.milliseconds / 1000} s`);
    if (end !== null) throw failed(end);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}
