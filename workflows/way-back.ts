/**
 * The way back, as the workflow sees it. Before the switch its slot is created beside the stream, and advanced with every lease. From
 * the switch on the stages of the stream and of the cutover are about the other direction (`state.back`): the same loop streams, and
 * `switchback` is the same cutover, with the sides of every step swapped. It ends with `finalize`, with a switch back, or when its time
 * is over; the common ending then removes its slot and its state.
 */
import { log, sleep } from '@temporalio/workflow';
import { milliseconds } from '../contract/duration.ts';
import type { Lsn } from '../contract/lsn.ts';
import { cleanupCommand } from '../contract/shell-command.ts';
import type { MigrationSummary } from '../contract/work.ts';
import { cleanup, long } from './activities.ts';
import type { Execution } from './execution.ts';
import { reasonOf } from './failure.ts';
import { LONG, UNDO, undoing, undoPauseMs } from './options.ts';
import type { Reason } from './state/reason.ts';
import { moment } from './wording.ts';

/**
 * After the switch. What keeps the way back from starting ends it: the application is on the target already.
 * @returns why there is none; null: it has begun, and the caller of `cutover` has the summary.
 */
export async function beginWayBack(
  run: Execution,
  released: Lsn | null,
  summary: MigrationSummary,
): Promise<string | null> {
  const { switchback } = run.input;
  if (switchback === undefined || run.isBack) return null;
  if (released === null) return 'the position of the release is not known';
  try {
    await long.startReverse.executeWithOptions(
      { ...LONG, activityId: 'start-back', summary: 'start the way back' },
      [{ migration: run.migration, released }],
    );
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    return reason.message;
  }
  const until = new Date(Date.now() + milliseconds(switchback)).toISOString();
  run.tell({ type: 'wayBackBegun', at: released, back: { until, summary } });
  run.cutover?.answer.give(
    `Cutover complete: ${summary.summary} The way back is open until ${moment(until)}: switchback returns, finalize ends it.`,
  );
  run.cutover = undefined;
  return null;
}

/**
 * After a switch back: the old database takes writes again. Never gives up, because neither database takes any until then; after a few
 * seconds it says so.
 */
export async function openOld(run: Execution, cutover: string): Promise<void> {
  const { migration, input } = run;
  for (let rounds = 0; ; rounds += 1) {
    const began = Date.now();
    try {
      await long.openOld.executeWithOptions(
        { ...undoing(rounds), activityId: 'open-old', summary: 'open the old database' },
        [{ migration, input, cutover }],
      );
      break;
    } catch (error) {
      const reason = reasonOf(error);
      if (!reason) throw error;
      log.warn('the old database cannot be opened yet', { ...reason });
      run.tell({ type: 'wayBackNoted', note: notOpened(run, reason) });
    }
    await sleep(undoPauseMs(rounds, Date.now() - began));
  }
  run.tell({ type: 'wayBackNoted', note: null });
  run.tell({ type: 'oldOpened' });
  try {
    await cleanup.removeFence.executeWithOptions(
      { ...UNDO, activityId: 'remove-fence', summary: 'remove the open fence' },
      [{ migration, input }],
    );
  } catch (error) {
    const reason = reasonOf(error);
    if (!reason) throw error;
    log.warn('the open fence is still on the old database', { ...reason });
    run.openFence = `the fence on "${migration.source}" is open and could not be removed (${reason.message}); remove it: ${cleanupCommand(migration, migration.workflowId)}`;
  }
}

/** The one moment in which no one can write: whoever is called at night has to see it. */
function notOpened({ migration: { source, target } }: Execution, reason: Reason): string {
  // What roles and a program of the operator have closed is stored on the new database.
  const up = reason.side === 'target' ? target : source;
  return `NEITHER DATABASE TAKES WRITES: the switch back is decided and "${target}" is sealed, but "${source}" cannot be opened (${reason.message}). Bring "${up}" up; walferry then opens "${source}" within a minute, as a rule within seconds`;
}
