/**
 * Updates and deletes of a table without a key, where two values may print alike under the settings that its expressions are
 * evaluated with (`extra_float_digits` below 1, a date style that abbreviates the time zone). The row is located under the pinned
 * settings, then changed by its ctid under the application's settings.
 */
import type pg from 'pg';
import { PINNED_FOR_ROWS, setFor, type Settings } from '../connection/apply-settings.ts';
import { KeyMissing, StepFailed, WrongRowCount } from './replay.ts';
import type { Step } from './replay.ts';
import { statementOf } from './change-statement.ts';
import { columnsMatch, type RowMatch } from './row-match.ts';

/** Applies the steps one at a time, in order. @throws StepFailed for the first that fails; the transaction is then aborted. */
export async function replayByCtid(
  client: pg.Client,
  steps: readonly Step[],
  settings: Settings,
): Promise<void> {
  for (const step of steps) {
    try {
      const place = step.change.kind === 'insert' ? undefined : await placeOf(client, step);
      const statement = statementOf(step.table, step.change, place);
      if (!statement) throw new KeyMissing("the change does not contain its row's key");
      await setFor('transaction', client, settings);
      const { rowCount } = await client.query(statement.text, [...statement.values]);
      if (rowCount !== 1) throw new WrongRowCount(1, rowCount ?? 0);
    } catch (error) {
      throw new StepFailed(step, error);
    }
  }
}

async function placeOf(client: pg.Client, { table, change }: Step): Promise<RowMatch | undefined> {
  const match = change.kind === 'insert' ? undefined : columnsMatch(table, change.identity);
  if (!match) return undefined;
  await setFor('transaction', client, PINNED_FOR_ROWS);
  const { rows } = await client.query<{ part: string; place: string }>(
    /* sql */ `select t.tableoid::text as part, t.ctid::text as place from ${table.only} t where ${match.condition(1)} limit 2`,
    [...match.values],
  );
  const [row] = rows;
  // With a FULL identity, equal rows are interchangeable.
  if (!row || (rows.length > 1 && !table.relation.full)) throw new WrongRowCount(1, rows.length);
  return {
    signature: 'place',
    values: [row.part, row.place],
    condition: (first) => `t.tableoid = $${first}::oid and t.ctid = $${first + 1}::tid`,
  };
}
