/** Signals and queries between a worker and the workflow about a wait for a place. Best effort: the heartbeat has it as well. */
import type { Context } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { parseProgress, type PlaceWait } from '../contract/progress.ts';
import { PLACE_SIGNAL } from '../contract/work.ts';

/** @param wait null: it is over. */
export async function tell(context: Context, wait: PlaceWait | null): Promise<void> {
  await attempted(context, undefined, (workflow) => workflow.signal(PLACE_SIGNAL, wait));
}

/** Whether the workflow still shows a wait. */
export async function saysWaiting(context: Context): Promise<boolean> {
  return attempted(context, false, async (workflow) => {
    const { placeWait } = parseProgress(await workflow.query<unknown>('progress'));
    return placeWait != null;
  });
}

/** Whether the server has no later attempt of the activity. */
export async function isNewestAttempt(context: Context): Promise<boolean> {
  const { activityId, attempt } = context.info;
  return attempted(context, false, async (workflow) => {
    const { raw } = await workflow.describe();
    const pending = raw.pendingActivities?.find((one) => one.activityId === activityId);
    return pending?.attempt === attempt;
  });
}

/** To this run of the workflow: the next one of its id has steps of its own. */
async function attempted<T>(
  context: Context,
  otherwise: T,
  ask: (workflow: WorkflowHandle) => Promise<T>,
): Promise<T> {
  try {
    const { workflowId, runId } = context.info.workflowExecution ?? { workflowId: '' };
    return await ask(context.client.workflow.getHandle(workflowId, runId));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    context.log.debug(
      'the workflow could not be queried or signalled about a wait for a worker place',
      {
        reason,
      },
    );
    return otherwise;
  }
}
