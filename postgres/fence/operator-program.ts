/**
 * Programs of the operator that a worker's environment names, never text of the input: whoever may start a migration must not be able
 * to run programs on the worker. No shell reads them, and their output goes nowhere: it may hold secrets, and logs have many readers.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** @returns what is wrong with the path, as a verb phrase; null: the worker may run it. */
export function whyNotRun(file: string): string | null {
  if (!path.isAbsolute(file)) return 'is not an absolute path';
  try {
    accessSync(file, constants.X_OK);
    return null;
  } catch {
    return 'names a file that the worker may not run';
  }
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

export interface ProgramRun {
  /** In addition to the worker's own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Longest run; then it is killed with its children. */
  readonly milliseconds: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs the program to its end.
 * @returns how it failed, as a verb phrase; null: it ended with exit code 0.
 * @throws `signal.reason` when aborted.
 */
export async function runProgram(
  file: string,
  { env, milliseconds, signal }: ProgramRun,
): Promise<string | null> {
  signal?.throwIfAborted();
  const child = spawn(process.execPath, ['-e', SUPERVISOR, file, String(milliseconds)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Away from the terminal: Ctrl-C is for the worker, which then ends the program in order.
    detached: true,
    env: { ...process.env, ...env },
  });
  let late = false;
  child.stdin.on('error', () => undefined);
  const stop = () => child.stdin.destroy();
  const timer = setTimeout(() => {
    late = true;
    stop();
  }, milliseconds);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const end = await new Promise<string | null>((resolve) => {
      child.once('error', () => resolve('could not be started'));
      child.once('exit', (code, by) =>
        resolve(code === 0 ? null : `ended with ${code === null ? by : `exit code ${code}`}`),
      );
    });
    signal?.throwIfAborted();
    return late ? `did not end within ${milliseconds / 1000} s` : end;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}
