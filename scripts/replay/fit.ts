/** Whether the workflow code of this checkout takes the same steps as a history, so that it can continue the workflow. */
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type { WorkflowBundleOption } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { workflowBundle } from '../../workers/bundle.ts';

type History = Parameters<typeof Worker.runReplayHistory>[1];

/** Code to replay with. Takes seconds when this code was not bundled before. */
export async function bundleForReplay(): Promise<WorkflowBundleOption> {
  const logger = new DefaultLogger('ERROR');
  Runtime.install({ logger });
  return workflowBundle(logger);
}

/** @returns null when the history fits, otherwise where it does not, in the SDK's words. */
export async function mismatchOf(
  bundle: WorkflowBundleOption,
  history: History,
  workflowId: string,
): Promise<string | null> {
  try {
    await Worker.runReplayHistory({ workflowBundle: bundle }, history, workflowId);
    return null;
  } catch (error) {
    if (error instanceof DeterminismViolationError) return error.message;
    throw error;
  }
}
