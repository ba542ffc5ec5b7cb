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
  // Its own process group, so that its children end with it.
  const child = spawn(file, [], {
    ...{ stdio: 'ignore', detached: true, env: { ...process.env, ...env } },
  });
  let late = false;
  const stop = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It ended in this moment.
    }
  };
  const timer = setTimeout(() => {
    late = true;
    stop();
  }, milliseconds);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const end = await new Promise<string | null>((resolve) => {
      child.once('error', () => resolve('could not be started'));
      child.once('exit', (code, by) =>
        resolve(
          code === 0
            ? null
            : `ended with ${code === null ? (by ?? 'a signal') : `exit code ${code}`}`,
        ),
      );
    });
    signal?.throwIfAborted();
    return late ? `did not end within ${milliseconds / 1000} s` : end;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}
