/** Runs a program of the machine, or says why it failed. */
import { spawnSync } from 'node:child_process';

/** A registry that swallows packets must not delay a test run for long. */
const LONGEST_MILLISECONDS = 180_000;

/** @returns its standard output. @throws Error with the end of its error output. */
export function run(program: string, words: readonly string[], cwd?: string): string {
  const outcome = spawnSync(program, words, {
    encoding: 'utf8',
    timeout: LONGEST_MILLISECONDS,
    maxBuffer: 64 * 1024 * 1024,
    ...(cwd === undefined ? {} : { cwd }),
  });
  if (outcome.status === 0) return outcome.stdout;
  const said = outcome.error?.message ?? outcome.stderr.trim().split('\n').slice(-3).join(' ');
  throw new Error(`${program} ${words.at(-1) ?? ''} failed: ${said}`);
}
