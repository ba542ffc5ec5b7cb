/**
 * Leaving nothing behind: the slot on the source first (a forgotten one fills its disk), then what is ours on the target.
 * Runs after every other activity has ended, and never for a programming error. What cannot be removed is named, with the
 * command that removes it.
 */
import { log } from '@temporalio/workflow';
import type { FailureCode } from '../contract/failure.ts';
import { cleanup } from './activities.ts';
import type { Execution } from './execution.ts';
import { reasonOf } from './failure.ts';
import { CLEANUP, UNDO } from './options.ts';

/** Something that stays, against the rule. */
export interface Leftover {
  readonly code: Extract<FailureCode, 'SlotKept' | 'ControlKept'>;
  /** What, why, and the command. */
  readonly text: string;
}

/**
 * Removes slot and control schema, and before the snapshot also what copySchema made. Never throws for an activity.
 * @param cutOver whether the cutover enabled the triggers already.
 */
export async function cleanUp(run: Execution, cutOver: boolean): Promise<Leftover[]> {
  const { slotBegun, schemaBegun } = run.state;
  const leftovers: Leftover[] = [];
  if (slotBegun) {
    const why = await attempt('drop slot', (summary) =>
      cleanup.dropSlot.executeWithOptions({ ...CLEANUP, activityId: 'drop-slot', summary }, [
        run.bare,
      ]),
    );
    if (why !== undefined) leftovers.push(slotKept(run, why));
  }
  if (schemaBegun) {
    const why = await (run.hasRows ? releaseTarget(run, cutOver) : undoSchema(run));
    if (why !== undefined) leftovers.push(controlKept(run, why));
  }
  for (const { code, text } of leftovers) log.warn('left behind', { code, text });
  return leftovers;
}

/** Tables with rows stay; their triggers get back the state that they have on the source. */
async function releaseTarget(run: Execution, cutOver: boolean): Promise<string | undefined> {
  if (!cutOver) {
    const why = await attempt('enable triggers', (summary) =>
      cleanup.enableTriggers.executeWithOptions({ ...CLEANUP, activityId: 'triggers', summary }, [
        run.bare,
      ]),
    );
    // The control schema knows which triggers are still disabled: it stays until they are not.
    if (why !== undefined) return why;
  }
  return attempt('drop control schema', (summary) =>
    cleanup.dropControl.executeWithOptions({ ...CLEANUP, activityId: 'drop-control', summary }, [
      run.bare,
    ]),
  );
}

function undoSchema(run: Execution): Promise<string | undefined> {
  return attempt('take the schema back', (summary) =>
    cleanup.undoSchema.executeWithOptions({ ...UNDO, activityId: 'undo-schema', summary }, [
      run.bare,
    ]),
  );
}

/** @returns undefined when it was done, else why not. */
async function attempt(
  summary: string,
  remove: (summary: string) => Promise<unknown>,
): Promise<string | undefined> {
  try {
    await remove(summary);
    return undefined;
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    return reason.message;
  }
}

function slotKept({ migration }: Execution, why: string): Leftover {
  const { slot, source } = migration;
  return {
    code: 'SlotKept',
    text: `the slot is kept and holds WAL on "${source}" (${why}); drop it: psql service=${source} -c "select pg_drop_replication_slot('${slot}')"`,
  };
}

function controlKept({ migration }: Execution, why: string): Leftover {
  const { source, target, workflowId } = migration;
  return {
    code: 'ControlKept',
    text: `the control schema is still on "${target}" (${why}); remove it: npm run cleanup -- ${source} ${target} --workflow-id ${workflowId}`,
  };
}
