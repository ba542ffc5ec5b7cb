/**
 * How a migration ends: clean up, answer every open update with how it ended, and only then close. Closing
 * first would turn these answers into "AcceptedUpdateCompletedWorkflow".
 *
 *   outcome     everything removed           something left behind
 *   done        Completed with the summary   Failed: SlotKept or ControlKept, beginning with MIGRATION_COMPLETE
 *   aborted     Failed: Aborted              Failed: Aborted, with what was left behind
 *   cancelled   Canceled                     Failed: SlotKept or ControlKept (a Canceled workflow carries no text)
 *   failed      Failed: its code             Failed: its code, with what was left behind
 */
import { allHandlersFinished, condition, isCancellation, log } from '@temporalio/workflow';
import type { TemporalFailure } from '@temporalio/workflow';
import { LEFT_ON_TARGET, MIGRATION_COMPLETE } from '../contract/failure-catalogue.ts';
import type { MigrationRecord } from '../contract/record.ts';
import type { MigrationSummary } from '../contract/work.ts';
import { cleanUp, type Leftover } from './cleanup.ts';
import { capital } from './direction.ts';
import type { Execution } from './execution.ts';
import { ending, raise, reasonOf } from './failure.ts';
import { keptTexts } from './kept.ts';
import { settleOld } from './finalize.ts';
import { stopStoring } from './limits.ts';
import type { In } from './state/stage.ts';
import { staysOf } from './stays.ts';
import { stopVerifying } from './verify.ts';

export type Outcome =
  | { readonly done: MigrationSummary }
  | { readonly done?: undefined; readonly failure: TemporalFailure };

/** Ends the migration. To be run in a scope that cannot be cancelled. */
export async function close(run: Execution, outcome: Outcome): Promise<MigrationSummary> {
  const end = endOf(run, outcome);
  if (end !== null) run.tell({ type: end });
  stopStoring(run);
  // Neither anchor nor comparison may be left when the control schema is removed.
  await stopVerifying(run);
  const { stage } = run.state;
  const by = stage.at === 'aborting' ? stage.by : null;
  await settleOld(run);
  const leftovers = await cleanUp(run, outcome.done !== undefined);
  const left = leftovers.map(({ text }) => `; ${text}`).join('');
  const how = outcome.done ? doneText(run, outcome.done) : stopped(run, by, outcome.failure);
  answer(run, outcome, how, left);
  run.tell({ type: 'closed' });
  await condition(allHandlersFinished);
  log.info('closing', { stage: run.at, leftovers: leftovers.length });
  const [first] = leftovers;
  // In the details of a failure, too: the report needs no worker then, and no earlier run.
  // What the operator had done with the old database is known better than what usually stays.
  const closed = run.backEnd.oldDatabase?.left ?? staysOf(run, outcome.done !== undefined);
  const stays = [...closed, ...keptTexts(run)];
  const record = run.record([...leftovers.map(({ text }) => text), ...stays]);
  // The first words that a reader of the failed workflow sees.
  const complete = `${MIGRATION_COMPLETE}: ${how}`;
  if (outcome.done) {
    return first
      ? raise(kept(first, complete, left, record))
      : { ...outcome.done, summary: how, record };
  }
  if (by === 'operator') throw ending('Aborted', `${how}${left}`, { record });
  if (by === 'cancellation') throw first ? kept(first, how, left, record) : outcome.failure;
  throw ending(reasonOf(outcome.failure)?.code ?? 'Internal', `${how}${left}`, { record });
}

/** With what was done to the old database at the end of a way back. */
function doneText({ backEnd }: Execution, { summary }: MigrationSummary): string {
  const { oldDatabase } = backEnd;
  return oldDatabase === undefined ? summary : `${summary} ${capital(oldDatabase.text)}.`;
}

/** What the outcome does to the state; null when an abort of the operator has done it already. */
function endOf(run: Execution, outcome: Outcome): 'completed' | 'cancelled' | 'failed' | null {
  if (outcome.done) return 'completed';
  if (run.at === 'aborting') return null;
  return isCancellation(outcome.failure) ? 'cancelled' : 'failed';
}

/** How it was stopped, and what that means for the target. */
function stopped(
  run: Execution,
  by: In<'aborting'>['by'] | null,
  failure: TemporalFailure,
): string {
  const target = run.hasRows
    ? `the tables copied so far stay on "${run.migration.target}", ${LEFT_ON_TARGET}`
    : `"${run.migration.target}" is unchanged`;
  if (by === 'operator') return `aborted by the operator; ${target}`;
  if (by === 'cancellation') return `cancelled; ${target}`;
  return reasonOf(failure)?.message ?? failure.message;
}

function answer(run: Execution, outcome: Outcome, how: string, left: string): void {
  const { cutover } = run;
  const sentence = `${capital(how)}${left}`;
  // On the way back it is the end of a switch back.
  if (outcome.done) cutover?.answer.give(run.isBack ? sentence : `Cutover complete: ${how}${left}`);
  else cutover?.answer.refuse(ending('Ended', `the migration ended: ${how}${left}`));
  run.asked?.refuse(ending('Ended', `the migration ended: ${how}${left}`));
  run.ended.give(sentence);
  run.cutover = undefined;
}

function kept(first: Leftover, how: string, left: string, record: MigrationRecord): Error {
  return ending(first.code, `${how}${left}`, { record });
}
