/**
 * Applies changes one at a time, in source order, with prepared statements. This is always correct: in replica role each step is
 * legal on the target because it was legal on the source. Sets are only faster. What a set cannot apply is applied here, and an
 * error here points to one change.
 *
 * Statements are sent without waiting for each answer; the first failure in source order counts.
 */
import type pg from 'pg';
import type { RowChange } from './change.ts';
import type { PositionedChange } from './fold.ts';
import { statementOf } from './change-statement.ts';
import type { Statement } from './change-statement.ts';
import type { TargetTable } from './target-table.ts';

/** A change with its table, and its columns by position. */
export interface Step {
  readonly table: TargetTable;
  readonly change: PositionedChange;
  /** The source's change, for messages. */
  readonly origin: RowChange;
}

/** A statement hit no row, or several. */
export class WrongRowCount extends Error {
  override readonly name = 'WrongRowCount';
  readonly expected: number;
  readonly rows: number;

  constructor(expected: number, rows: number) {
    super(`expected ${expected} rows, hit ${rows}`);
    this.expected = expected;
    this.rows = rows;
  }
}

/** The change does not identify its row: the key is missing from its identity, or null (for example a NaN with wal2json 2.5). */
export class KeyMissing extends Error {
  override readonly name = 'KeyMissing';
}

/** A change that could not be applied. `cause` is the server's error, a WrongRowCount or a KeyMissing. */
export class StepFailed extends Error {
  override readonly name = 'StepFailed';
  readonly step: Step;

  constructor(step: Step, cause: unknown) {
    super('a change could not be applied', { cause });
    this.step = step;
  }
}

/** Statements in flight at once: enough to hide network latency, few enough to fail early. */
const STATEMENTS_IN_FLIGHT = 256;

/** Applies the steps in order. @throws StepFailed for the first that fails; the transaction is then aborted. */
export async function replay(client: pg.Client, steps: readonly Step[]): Promise<void> {
  for (let from = 0; from < steps.length; from += STATEMENTS_IN_FLIGHT) {
    const part = steps.slice(from, from + STATEMENTS_IN_FLIGHT);
    const statements: Statement[] = [];
    let unnamed: StepFailed | undefined;
    for (const step of part) {
      const statement = statementOf(step.table, step.change);
      if (statement) statements.push(statement);
      else {
        // Everything before it runs first: an earlier failure is the one to report.
        unnamed = new StepFailed(step, new KeyMissing("the change does not contain its row's key"));
        break;
      }
    }
    const failure = await runAll(client, statements);
    if (failure) {
      const step = part[failure.index];
      throw step ? new StepFailed(step, failure.cause) : failure.cause;
    }
    if (unnamed) throw unnamed;
  }
}

/** Runs statements that must each hit exactly one row. @throws the first failure, in order. */
export async function runStatements(
  client: pg.Client,
  statements: readonly Statement[],
): Promise<void> {
  for (let from = 0; from < statements.length; from += STATEMENTS_IN_FLIGHT) {
    const failure = await runAll(client, statements.slice(from, from + STATEMENTS_IN_FLIGHT));
    if (failure) throw failure.cause;
  }
}

async function runAll(
  client: pg.Client,
  statements: readonly Statement[],
): Promise<{ readonly index: number; readonly cause: unknown } | undefined> {
  // A pipelining client cannot run COPY, so pipelining is on only while nothing else runs.
  Object.assign(client, { pipeline: true });
  let answers: PromiseSettledResult<pg.QueryResult>[];
  try {
    answers = await Promise.allSettled(
      statements.map(({ name, text, values }) =>
        client.query({ ...(name === '' ? {} : { name }), text, values: [...values] }),
      ),
    );
  } finally {
    Object.assign(client, { pipeline: false });
  }
  for (const [index, answer] of answers.entries()) {
    if (answer.status === 'rejected') return { index, cause: answer.reason };
    const rows = answer.value.rowCount ?? 0;
    if (rows !== 1) return { index, cause: new WrongRowCount(1, rows) };
  }
  return undefined;
}
