/** What the Temporal server knows of a workflow id: whether a run is open, and the slots of its runs. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { slotName } from '../../contract/slot-name.ts';
import { isOpen } from '../watch/sample.ts';
import { NoTemporal, connectTemporal } from '../watch/temporal-client.ts';

export type KnownRuns =
  | { readonly reachable: false; readonly reason: string }
  | { readonly reachable: true; readonly open: boolean; readonly slots: ReadonlySet<string> };

/** Queries the server that the environment names. */
export async function knownRuns(workflowId: string): Promise<KnownRuns> {
  try {
    await using temporal = await connectTemporal();
    const { workflow } = temporal.client;
    const slots = new Set<string>();
    let open = false;
    const query = `WorkflowId = '${workflowId.replaceAll("'", "''")}'`;
    for await (const { runId, status } of workflow.list({ query })) {
      const described = await workflow.getHandle(workflowId, runId).describe();
      // Not the status of the list: the visibility store lags behind.
      open ||= isOpen(described.status.name) || isOpen(status.name);
      const first = described.raw.workflowExecutionInfo?.firstRunId;
      if (first) slots.add(slotName(workflowId, first));
    }
    return { reachable: true, open: open || (await newestIsOpen(temporal, workflowId)), slots };
  } catch (error) {
    if (error instanceof NoTemporal) return { reachable: false, reason: error.message };
    throw error;
  }
}

/** A run that has just started may not be in the list yet. */
async function newestIsOpen(
  { client }: Awaited<ReturnType<typeof connectTemporal>>,
  workflowId: string,
): Promise<boolean> {
  try {
    const { status } = await client.workflow.getHandle(workflowId).describe();
    return isOpen(status.name);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
