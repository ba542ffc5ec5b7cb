/**
 * The operator's own SQL and command after the release: the target is the live database by then, so whatever fails is reported and
 * undoes nothing. After a lost worker the statements that have finished are left out: the first of them would fail when it is
 * repeated (`create …`), and those after the last one would never run.
 */
import path from 'node:path';
import type { AfterRelease } from '../../contract/cutover.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import { runProgram, whyNotRun } from '../fence/operator-program.ts';
import { connectTarget } from '../session/open.ts';
import { countRun, noteStatement } from '../store/statement-mark.ts';

/** For each statement. */
const STATEMENT_MS = 60_000;
/** Applies to the statements after it, so a repetition runs it again. */
const SETTING = /^\s*(set|reset)\s/i;
const DEFAULT_SECONDS = 60;
const MOST_SECONDS = 600;

/**
 * Runs the statements of the input up to the first that fails, then the program that `WALFERRY_AFTER_RELEASE` names on this worker,
 * for `WALFERRY_AFTER_RELEASE_SECONDS` at most. It learns from its environment what was released: `WALFERRY_WORKFLOW`,
 * `WALFERRY_SOURCE`, `WALFERRY_TARGET`.
 * @throws MigrationError only when the target does not answer.
 */
export async function afterRelease(
  migration: Migration,
  { cutover }: MigrationInput,
  { signal }: Work,
  env: NodeJS.ProcessEnv = process.env,
): Promise<AfterRelease> {
  const { afterRelease: statements = [] } = cutover;
  const report = await runStatements(migration, statements, signal);
  const program = env['WALFERRY_AFTER_RELEASE'] ?? '';
  if (program === '' || report.failed !== null) {
    return { ...report, command: null, commandFailed: null };
  }
  const command = path.basename(program);
  return { ...report, command, commandFailed: await runCommand(program, migration, env, signal) };
}

async function runStatements(
  migration: Migration,
  statements: readonly string[],
  signal: AbortSignal,
): Promise<Pick<AfterRelease, 'statements' | 'failed'>> {
  if (statements.length === 0) return { statements: 0, failed: null };
  try {
    // As the operator's own session would: without the settings under which rows are written.
    await using target = await connectTarget(migration, 'cutover', {
      ...{ signal, withServerDefaults: true, statementTimeoutMs: STATEMENT_MS },
    });
    // Not the operator's session, whose role may be another one by then.
    await using notes = await connectTarget(migration, 'cutover', { signal });
    const finished = await countRun(notes, migration, statements);
    for (const [at, statement] of statements.entries()) {
      if (at < finished && !SETTING.test(statement)) continue;
      try {
        await target.query(statement);
      } catch (error) {
        const state = sqlstate(error);
        // A lost connection: the step is repeated.
        if (state === undefined) throw error;
        return { statements: at, failed: { statement: at + 1, sqlstate: state } };
      }
      await noteStatement(notes, migration, at, statement);
    }
    return { statements: statements.length, failed: null };
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'running the statements after the release' }, 'Internal');
  }
}

async function runCommand(
  program: string,
  { workflowId, source, target }: Migration,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string | null> {
  const seconds = Number(env['WALFERRY_AFTER_RELEASE_SECONDS'] ?? DEFAULT_SECONDS);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MOST_SECONDS) {
    return `was not run: WALFERRY_AFTER_RELEASE_SECONDS must be a whole number from 1 to ${MOST_SECONDS}`;
  }
  const why = whyNotRun(program);
  if (why !== null) return `was not run: WALFERRY_AFTER_RELEASE ${why}`;
  const about = {
    ...{ WALFERRY_WORKFLOW: workflowId, WALFERRY_SOURCE: source, WALFERRY_TARGET: target },
  };
  return runProgram(program, { env: about, milliseconds: seconds * 1000, signal });
}
