/** The operator's own commands of a fence of kind `command`: a pooler's PAUSE, a feature flag (operator-program.ts). */
import path from 'node:path';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { runProgram, whyNotRun } from './operator-program.ts';

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
  const why = whyNotRun(file);
  if (why !== null) throw refused(why);
  return file;
}

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
  const file = commands[action];
  const env = {
    WALFERRY_ACTION: action,
    WALFERRY_WORKFLOW: migration.workflowId,
    WALFERRY_SOURCE: migration.source,
    WALFERRY_CUTOVER: cutover,
    ...(rehearsal === true ? { REHEARSAL: '1' } : {}),
  };
  const how = await runProgram(file, { env, milliseconds: commands.milliseconds, signal });
  if (how === null) return;
  throw new MigrationError(
    'FenceRefused',
    `the command "${path.basename(file)}" that should ${action} the fence ${how}; run it by hand on the worker to see its output`,
  );
}
