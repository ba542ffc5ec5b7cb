/**
 * All runs of a migration that the Temporal server still has, oldest first. A workflow that continues as new has many; the server
 * removes the oldest when its retention is over.
 */
import { WorkflowNotFoundError } from '@temporalio/client';
import { UnknownWorkflow } from '../watch/observer.ts';
import type { TemporalClient } from '../watch/temporal-client.ts';
import { readHistory, type RunHistory } from './run-history.ts';

export interface Chain {
  /** At least one. */
  readonly runs: readonly RunHistory[];
  /** Whether the oldest one is the first of the migration. */
  readonly complete: boolean;
}

/** @throws UnknownWorkflow. */
export async function readChain(temporal: TemporalClient, workflowId: string): Promise<Chain> {
  const { workflow } = temporal.client;
  const runs: RunHistory[] = [];
  let runId: string | undefined;
  for (;;) {
    try {
      const handle = workflow.getHandle(workflowId, runId);
      const known = runId ?? (await handle.describe()).runId;
      const run = readHistory(
        await workflow.getHandle(workflowId, known).fetchHistory(),
        workflowId,
        known,
      );
      runs.unshift(run);
      if (run.continues === '') return { runs, complete: true };
      runId = run.continues;
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
      if (runs.length > 0) return { runs, complete: false };
      throw new UnknownWorkflow(
        `the server at ${temporal.address} knows no workflow "${workflowId}" in namespace ${temporal.namespace}`,
      );
    }
  }
}
