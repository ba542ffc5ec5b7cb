/**
 * The operator's side: five updates and one query. policy.ts says what is allowed when; this file carries it out. An
 * update answers when the work is done, with one sentence, because the Temporal CLI prints objects as `map[a:1]`.
 *
 * Handlers are set before the first await, so that none is missing when an update arrives with the first workflow task.
 */
import {
  currentUpdateInfo,
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
  type CancellationScope,
} from '@temporalio/workflow';
import { GUARD_SIGNAL } from '../contract/guard.ts';
import type { Progress } from '../contract/progress.ts';
import { cutoverOptions, optionsText } from './cutover-options.ts';
import { Deferred } from './deferred.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { ending } from './failure.ts';
import { noteGuard, requireFittingChange, setLimits } from './limits.ts';
import { endWayBack } from './way-back-time.ts';
import { rule, type UpdateName } from './state/policy.ts';
import { STAGES } from './state/stage.ts';
import { counted } from './wording.ts';

const progressQuery = defineQuery<Progress>('progress');
const pauseUpdate = defineUpdate<string>('pause');
const resumeUpdate = defineUpdate<string>('resume');
const cutoverUpdate = defineUpdate<string, [unknown]>('cutover');
const abortUpdate = defineUpdate<string>('abort');
const switchbackUpdate = defineUpdate<string, [unknown]>('switchback');
const finalizeUpdate = defineUpdate<string>('finalize');
const setLimitsUpdate = defineUpdate<string, [unknown]>('setLimits');
const guardSignal = defineSignal<[unknown]>(GUARD_SIGNAL);

/** @param work the scope of everything that an abort has to stop. */
export function acceptOperator(run: Execution, work: CancellationScope): void {
  setHandler(progressQuery, () => run.progress(), {
    description:
      'Phase, state (running, paused, waiting: with reason and action), confirmed LSN, counters',
  });
  setHandler(pauseUpdate, () => pause(run, work), {
    description:
      'Stop the stream at a commit; returns the confirmed LSN (that of the last checkpoint while the position is not known). In phase cutover: cancel the cutover',
    validator: () => mayAsk(run, 'pause'),
  });
  setHandler(resumeUpdate, () => resume(run), {
    description:
      'Continue after a pause, or retry the step when the migration waits for the operator',
    validator: () => mayAsk(run, 'resume'),
  });
  setHandler(cutoverUpdate, (options) => cutover(run, options), {
    description:
      'Finish the migration: stops the writes (with a fence; otherwise stop the writers first), drains the stream, compares counts, sets sequences, drops the slot. Optional input: {"compare": "exact" | "off", "maxDowntimeSeconds": n}',
    validator: (options) => {
      mayAsk(run, 'cutover');
      cutoverOptions(run.input, options);
    },
  });
  setHandler(abortUpdate, () => abort(run, work), {
    description:
      'End the migration: drops slot and control schema; what was copied stays on the target, complete or not',
    validator: () => mayAsk(run, 'abort'),
  });
  setHandler(switchbackUpdate, (options) => cutover(run, options), {
    description:
      'Return to the old database: the same cutover in the other direction, while the way back is open. Optional input as for cutover',
    validator: (options) => {
      mayAsk(run, 'switchback');
      cutoverOptions(run.input, options);
    },
  });
  setHandler(finalizeUpdate, () => finalize(run), {
    description:
      'End the way back: drops its slot on the target and its state on the source; returns the summary of the migration',
    validator: () => mayAsk(run, 'finalize'),
  });
  setHandler(setLimitsUpdate, (change) => setLimits(run, change), {
    description:
      'Change limits of the running migration: {"copyStreams": n, "copyBytesPerSecond": n, "applyChangesPerSecond": n, "guard": "on" | "off"}; 0 is unlimited, omitted fields keep their value',
    validator: (change) => {
      mayAsk(run, 'setLimits');
      requireFittingChange(run, change);
    },
  });
  setHandler(guardSignal, (report) => noteGuard(run, report), {
    description: 'Sent by the step that measures the guard of the source',
  });
}

/** Synchronous, as the SDK demands of validators: a promise would count as consent. */
function mayAsk(run: Execution, update: UpdateName): void {
  const ruling = rule(update, run.at, run.isBack);
  if (!ruling.allowed) throw ending('Refused', ruling.text);
}

async function pause(run: Execution, work: CancellationScope): Promise<string> {
  if (run.cutover) return cancelCutover(run, run.cutover, work);
  run.tell({ type: 'pause' });
  // Waits for the end of this lease: a condition "none is running" would miss it when a resume starts the next at once.
  const { lease } = run;
  if (lease) lease.positionWanted = true;
  lease?.scope.cancel();
  await lease?.stopped.promise;
  // An abort or a cancellation came in between: slot and WAL are removed, and there is nothing to resume.
  if (hasEnded(run, work)) throw ending('Ended', 'the migration ended while it was being paused');
  // The lease before this pause may have ended without reporting its position.
  run.notePause();
  // A resume or a cutover may have come while the stream was stopping.
  if (run.at === 'streaming' || run.cutover) {
    return `The stream stopped at ${run.state.confirmedLsn} and continues: a later ${run.cutover ? 'cutover' : 'resume'} ended the pause.`;
  }
  return paused(run);
}

/** The ending of a cancelled workflow begins some steps after the last lease has stopped. */
function hasEnded(run: Execution, work: CancellationScope): boolean {
  return STAGES[run.at].ending || work.consideredCancelled;
}

function paused({ unsure, isBack, state: { confirmedLsn, stream } }: Execution): string {
  const [from, to] = isBack ? ['target', 'source'] : ['source', 'target'];
  if (unsure) {
    return `Paused: the stream has stopped, but its position is not known yet (${unsure.message}). Everything committed before ${confirmedLsn}, the last checkpoint, is on the ${to}, possibly more; the ${from} retains its WAL until resume.`;
  }
  const applied = stream ? `; ${counted(stream.transactions, 'transaction')} applied so far` : '';
  return `Paused at ${confirmedLsn}: everything committed before it is on the ${to}${applied}. The ${from} retains its WAL until resume.`;
}

/** Waits for the current step, which is cancelled, and for no database. */
async function cancelCutover(
  run: Execution,
  cutover: CutoverRequest,
  work: CancellationScope,
): Promise<string> {
  cutover.cancelled = true;
  if (cutover.scope) {
    cutover.scope.cancel();
    const switched = await cutover.answer.promise.catch(() => null);
    // The outcome was there before the pause could undo it.
    if (switched !== null) throw ending('Refused', `too late to undo the cutover. ${switched}`);
  } else {
    const { lease } = run;
    run.cancelCutover('before its first step');
    lease?.fencing?.cancel();
    await lease?.stopped.promise;
  }
  // An abort or a cancellation came in between.
  if (hasEnded(run, work)) {
    throw ending('Ended', 'the migration ended while the cutover was being cancelled');
  }
  return `Cutover cancelled. ${paused(run)}`;
}

function resume(run: Execution): string {
  const { at, waiting } = run;
  const { confirmedLsn } = run.state;
  run.tell({ type: 'resume' });
  run.asking?.cancel();
  if (waiting) return `Retrying step ${waiting.step}, which had stopped with ${waiting.code}.`;
  if (at === 'paused') return `Streaming again from ${confirmedLsn}.`;
  return `The migration is running, in phase ${STAGES[at].phase}.`;
}

function cutover(run: Execution, options: unknown): Promise<string> {
  const wanted = cutoverOptions(run.input, options);
  if (run.cutover && options != null && optionsText(run.cutover) !== optionsText(wanted)) {
    throw ending(
      'Refused',
      `a cutover with ${optionsText(run.cutover)} is under way: cancel it with pause, then call cutover again`,
    );
  }
  if (!run.cutover) {
    run.cutover = {
      ...{ ...wanted, updateId: currentUpdateInfo()?.id },
      ...{ answer: new Deferred(), scope: undefined, cancelled: false },
    };
    // Here and not when the drain begins, so that a pause in between cancels the cutover.
    run.tell({ type: 'cutover' });
    run.asking?.cancel();
    run.lease?.scope.cancel();
  }
  return run.cutover.answer.promise;
}

/** The stream of the way back stops; the common ending removes what is left of it. */
function finalize(run: Execution): Promise<string> {
  endWayBack(run);
  return run.ended.promise;
}

function abort(run: Execution, work: CancellationScope): Promise<string> {
  if (run.at !== 'aborting') {
    run.tell({ type: 'abort' });
    work.cancel();
  }
  return run.ended.promise;
}
