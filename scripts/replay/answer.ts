/** `walferry replay`: the history of a running migration, replayed with the workflow code of this version. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { OperatorError } from '../operator-error.ts';
import { connectTemporal } from '../watch/temporal-client.ts';
import { bundleForReplay, mismatchOf } from './fit.ts';

/** @returns the exit code: 1 when workers of this version cannot continue it. */
export async function replay(workflowId: string): Promise<number> {
  await using temporal = await connectTemporal();
  const history = await temporal.client.workflow
    .getHandle(workflowId)
    .fetchHistory()
    .catch((error: unknown) => {
      if (error instanceof WorkflowNotFoundError) throw new OperatorError(error.message);
      throw error;
    });
  const mismatch = await mismatchOf(await bundleForReplay(), history, workflowId);
  if (mismatch === null) {
    const events = `${history.events?.length ?? 0} events`;
    console.log(`fits: workers of this version can continue "${workflowId}" (${events} replayed)`);
    return 0;
  }
  console.error(
    `does not fit: "${workflowId}" was started by workflow code with different steps; keep workers of that version until it has ended (${mismatch})`,
  );
  return 1;
}
