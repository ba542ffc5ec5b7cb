/** What both databases of a migration have beside rows: every difference, with the SQL for the target. Asks both databases now. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { isWrong, wordDifference, type Difference } from '../../contract/definition.ts';
import { MigrationError } from '../../contract/failure.ts';
import { parseInput } from '../../contract/input.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import { slotName } from '../../contract/slot-name.ts';
import { compareBack } from '../../postgres/definition/compare-back.ts';
import { compareDefinitions } from '../../postgres/definition/compare-definitions.ts';
import { compareContents } from '../../postgres/definition/view-contents.ts';
import { OperatorError } from '../operator-error.ts';
import { readHistory } from '../report/run-history.ts';
import { UnknownWorkflow } from '../watch/observer.ts';
import { connectTemporal } from '../watch/temporal-client.ts';

/**
 * @param workflowId of the migration, also of one that has ended: its input says what it moves.
 * @returns the differences, those with which the target is wrong first.
 * @throws UnknownWorkflow, NoTemporal; OperatorError when a database does not answer, or the input is of another version.
 */
export async function differencesOf(
  workflowId: string,
  { source, target }: { readonly source: string; readonly target: string },
): Promise<Difference[]> {
  const { id, raw } = await startOf(workflowId);
  const parsed = parseInput(raw);
  if (!parsed.ok) throw new OperatorError(`"${workflowId}": ${parsed.message}`);
  try {
    const found = await compared(parsed.input, { id, workflowId }, { source, target });
    return [...found.filter(isWrong), ...found.filter((one) => !isWrong(one))];
  } catch (error) {
    if (error instanceof MigrationError) throw new OperatorError(error.message, { cause: error });
    throw error;
  }
}

/** With the services of the migration the other way round: what the old database lacks, while the way back is open. */
async function compared(
  input: MigrationInput,
  ids: { readonly id: string; readonly workflowId: string },
  { source, target }: { readonly source: string; readonly target: string },
): Promise<Difference[]> {
  const slot = slotName(ids.workflowId, ids.id);
  if (source === input.target && target === input.source) {
    return compareBack({ ...ids, source: target, target: source, slot }, input);
  }
  const migration = { ...ids, source, target, slot };
  const found = await compareDefinitions(migration, input, { ended: true });
  const views = await compareContents(migration, input, { ended: true });
  return [...found, ...(views?.found ?? [])];
}

async function startOf(
  workflowId: string,
): Promise<{ readonly id: string; readonly raw: unknown }> {
  await using temporal = await connectTemporal();
  try {
    const handle = temporal.client.workflow.getHandle(workflowId);
    const { runId } = await handle.describe();
    const { firstRunId, input } = readHistory(await handle.fetchHistory(), workflowId, runId);
    return { id: firstRunId, raw: input };
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    throw new UnknownWorkflow(
      `the server at ${temporal.address} knows no workflow "${workflowId}" in namespace ${temporal.namespace}`,
    );
  }
}

/** One sentence for each, with its SQL below, and the total. */
export function definitionLines(found: readonly Difference[]): string[] {
  const certain = found.filter(
    ({ notCompared, contents }) => notCompared === undefined && contents === undefined,
  );
  const views = found.filter(({ contents }) => contents !== undefined).length;
  const wrong = certain.filter(isWrong).length;
  return [
    ...found.flatMap((one) => [
      `${isWrong(one) ? 'WRONG ' : ''}${wordDifference(one)}`,
      ...(one.run === undefined ? [] : [`  ${one.run.replaceAll('\n', '\n  ')}`]),
    ]),
    certain.length === 0
      ? 'definitions: nothing differs'
      : `definitions: ${certain.length} different, ${wrong} of them wrong on the target`,
    ...(views === 0 ? [] : [`materialized views: ${views} with other contents, or not compared`]),
  ];
}
