/**
 * A verification of a fidelity migration, after everything was applied and while no one writes: what it reports is a false alarm,
 * or the suite's own comparison finds it as well.
 */
import type { Migration } from '../../../contract/migration.ts';
import { runVerification } from '../../../postgres/verification/whole-verification.ts';
import { ONCE_ONLY } from '../../../postgres/verification/read-sides.ts';
import { inputOf } from '../control.ts';
import { statesOf } from '../held-states.ts';
import type { Lab } from '../lab.ts';
import { testWork } from '../stream.ts';

/** Tables that are reported as different, or that could not be compared. */
export async function verifyMigration(
  { pair }: Pick<Lab, 'pair'>,
  input: Record<string, unknown>,
): Promise<string[]> {
  const { rows } = await pair.targetClient.query<{ id: string; workflow: string; slot: string }>(
    /* sql */ `select id, workflow_id as workflow, slot from walferry.migration`,
  );
  const [row] = rows;
  if (!row) return ['no migration'];
  const migration: Migration = {
    ...{ id: row.id, workflowId: row.workflow, slot: row.slot },
    ...{ source: pair.source, target: pair.target },
  };
  const step = { migration, verification: 'fidelity', input: inputOf(pair, input) };
  const report = await runVerification(step, testWork(), statesOf(pair));
  return [
    ...report.differing.map(({ table, keys }) => `verified ${table}: ${keys} keys differ`),
    ...report.notCompared
      // Columns that the operator's own tables have in addition are named, and cannot be compared.
      .filter((text) => !text.endsWith(ONCE_ONLY) && !text.endsWith(': exists only on the target'))
      .map((text) => `verified ${text}`),
  ];
}
