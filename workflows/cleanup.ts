/**
 * Leaving nothing behind: first the slot on the source (a forgotten one fills its disk), then walferry's objects on the
 * target. Runs after every other activity has ended, and never after a programming error. What cannot be removed is
 * named, with the command that removes it.
 */
import { log } from '@temporalio/workflow';
import { MOST_NAMED, type RemovalReport } from '../contract/fence.ts';
import { listed } from '../contract/listed.ts';
import type { FailureCode } from '../contract/failure-catalogue.ts';
import type { Lsn } from '../contract/lsn.ts';
import { reverseOf } from '../contract/reversed.ts';
import { cleanupCommand } from '../contract/shell-command.ts';
import { cleanup } from './activities.ts';
import { isFenced } from '../contract/cutover.ts';
import type { Execution } from './execution.ts';
import { reasonOf } from './failure.ts';
import { CLEANUP, RELEASE, UNDO } from './options.ts';
import type { Reason } from './state/reason.ts';

/** Something that could not be removed. */
export interface Leftover {
  readonly code: Extract<FailureCode, 'SlotKept' | 'ControlKept' | 'FenceKept'>;
  /** What, why, and the command. */
  readonly text: string;
}

/**
 * Removes slot and control schema, and before the copy also what copySchema created. Never throws for an activity.
 * @param cutOver whether the cutover has already enabled the triggers.
 */
export async function cleanUp(run: Execution, cutOver: boolean): Promise<Leftover[]> {
  const { slotBegun, schemaBegun, wayBack } = run.state;
  const leftovers: Leftover[] = [];
  if (slotBegun) {
    const why = run.slot ? run.slot.kept : await dropSlot(run);
    if (why !== null) leftovers.push(slotKept(run, why, cutOver));
  }
  // After a switch the source stays sealed. Before the control schema goes, which knows what some fences have taken.
  if (!cutOver && run.hasRows && isFenced(run.input)) {
    const why = await removeFence(run);
    if (why?.code === 'AlreadySwitched') return [...leftovers, switchedKept(run)];
    if (why !== null) leftovers.push(fenceKept(run, why));
  }
  if (wayBack) {
    const why = run.backEnd.kept ?? (await dropWayBackSlot(run)) ?? (await closeWayBack(run));
    if (why !== null) leftovers.push(wayBackKept(run, why));
  }
  if (schemaBegun) {
    const left: string[] = [];
    const why = await (run.hasRows ? releaseTarget(run, cutOver, left) : undoSchema(run, left));
    if (why !== null) leftovers.push(controlKept(run, why));
    else if (left.length > 0) leftovers.push(targetFenceKept(run, left));
  }
  for (const { code, text } of leftovers) log.warn('left behind', { code, text });
  return leftovers;
}

/** First the slot: a forgotten one fills the disk of the live database. */
function dropWayBackSlot(run: Execution): Promise<Reason | null> {
  return attempt('drop the slot of the way back', (summary) =>
    cleanup.dropReverseSlot.executeWithOptions(
      { ...CLEANUP, activityId: 'drop-reverse-slot', summary },
      [{ migration: run.migration }],
    ),
  );
}

function closeWayBack(run: Execution): Promise<Reason | null> {
  const { migration, input } = run;
  return attempt('remove the way back', (summary) =>
    cleanup.closeWayBack.executeWithOptions({ ...UNDO, activityId: 'close-way-back', summary }, [
      { migration, input },
    ]),
  );
}

/**
 * @param since the end mark of a cutover: the slot is kept when something changed after it.
 * @returns null when it was dropped, otherwise why not.
 */
export function dropSlot(run: Execution, since?: Lsn): Promise<Reason | null> {
  const options = since === undefined ? CLEANUP : RELEASE;
  return attempt('drop slot', (summary) =>
    cleanup.dropSlot.executeWithOptions({ ...options, activityId: 'drop-slot', summary }, [
      { ...run.step, ...(since === undefined ? {} : { since }) },
    ]),
  );
}

/**
 * Tables with rows stay; their triggers get the state that they have on the source.
 * @param left gets what is left of the target's fence.
 */
async function releaseTarget(
  run: Execution,
  cutOver: boolean,
  left: string[],
): Promise<Reason | null> {
  if (!cutOver) {
    const why = await attempt('enable triggers', (summary) =>
      // There may be as many as tables: it can take as long as undoing a schema.
      cleanup.enableTriggers.executeWithOptions({ ...UNDO, activityId: 'triggers', summary }, [
        { ...run.bare, aborted: true },
      ]),
    );
    // The control schema records which triggers are still disabled: it stays until they are enabled.
    if (why !== null) return why;
  }
  return attempt('drop control schema', async (summary) => {
    const options = { ...CLEANUP, activityId: 'drop-control', summary };
    const report = await cleanup.dropControl.executeWithOptions(options, [run.bare]);
    left.push(...leftOf(report));
  });
}

/** @param report undefined in histories of earlier code. */
const leftOf = (report: RemovalReport | undefined): readonly string[] => report?.left ?? [];

function removeFence(run: Execution): Promise<Reason | null> {
  return attempt('remove the fence', (summary) =>
    cleanup.removeFence.executeWithOptions({ ...CLEANUP, activityId: 'remove-fence', summary }, [
      run.step,
    ]),
  );
}

function undoSchema(run: Execution, left: string[]): Promise<Reason | null> {
  return attempt('undo the schema', async (summary) => {
    const options = { ...UNDO, activityId: 'undo-schema', summary };
    left.push(...leftOf(await cleanup.undoSchema.executeWithOptions(options, [run.bare])));
  });
}

/** @returns null when it was done, otherwise why not. */
async function attempt(
  summary: string,
  remove: (summary: string) => Promise<unknown>,
): Promise<Reason | null> {
  try {
    await remove(summary);
    return null;
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    return reason;
  }
}

function slotKept({ migration }: Execution, why: Reason, cutOver: boolean): Leftover {
  const { slot, source } = migration;
  // After a switch the look at the sealed source may have found some: then the reason names them.
  const checked = cutOver && why.code !== 'StillWriting';
  return {
    code: 'SlotKept',
    text: `the slot is kept and retains WAL on "${source}" (${why.message})${checked ? '; the last check for late writes found none, but anything written after it is missing on the target: make sure that no writer is left before you drop the slot' : ''}; drop it: psql service=${source} -c "select pg_drop_replication_slot('${slot}')"`,
  };
}

function fenceKept({ migration }: Execution, why: Reason): Leftover {
  return {
    code: 'FenceKept',
    text: `the fence is open and still on "${migration.source}" (${why.message}); remove it: ${cleanupCommand(migration, migration.workflowId)}`,
  };
}

/** Its gate was opened first. */
function targetFenceKept({ migration }: Execution, left: readonly string[]): Leftover {
  const { target, workflowId } = migration;
  return {
    code: 'FenceKept',
    text: `the fence of "${target}" is open, and parts of it are still there, because other sessions lock the tables (${listed(left, MOST_NAMED)}); remove it: ${cleanupCommand(migration, workflowId)}`,
  };
}

/** An earlier run has switched: without the outcome in the control schema, another attempt could open the old database. */
function switchedKept({ migration }: Execution): Leftover {
  const { source, target, workflowId } = migration;
  return {
    code: 'ControlKept',
    text: `an earlier run of this workflow has switched, and "${target}" is the live database: "${source}" stays sealed, and what the cutover has recorded stays on "${target}". When the application is there, remove both: ${cleanupCommand(migration, workflowId)}`,
  };
}

function controlKept({ migration }: Execution, why: Reason): Leftover {
  const { target, workflowId } = migration;
  return {
    code: 'ControlKept',
    text: `the control schema is still on "${target}" (${why.message}); remove it: ${cleanupCommand(migration, workflowId)}`,
  };
}

function wayBackKept({ migration }: Execution, why: Reason): Leftover {
  const { slot } = reverseOf(migration);
  const { source, target } = migration;
  return {
    code: 'SlotKept',
    text: `the way back is not removed (${why.message}): drop its slot, which retains WAL on "${target}", if it is there: psql service=${target} -c "select pg_drop_replication_slot('${slot}')"; and its rows in schema walferry on "${source}", the schema too if no other migration uses it`,
  };
}
