/**
 * The operator's side: twelve updates and two queries. policy.ts says what is allowed when; this file carries it out. An
 * update answers when the work is done, with one sentence, because the Temporal CLI prints objects as `map[a:1]`.
 *
 * Handlers are set before the first await, so that none is missing when an update arrives with the first workflow task.
 */
import {
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
  type CancellationScope,
} from '@temporalio/workflow';
import { GUARD_SIGNAL } from '../contract/guard.ts';
import type { Progress } from '../contract/progress.ts';
import type { MigrationRecord } from '../contract/record.ts';
import { approve, requireApproval } from './approval.ts';
import {
  cutover,
  requireOptions,
  requireOptionsBack,
  startRehearsal,
  switchBack,
} from './cutover-update.ts';
import { rehearsalOf } from './rehearsal-options.ts';
import { capital, directionOf } from './direction.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { ending } from './failure.ts';
import { noteGuard, requireFittingChange, setLimits } from './limits.ts';
import { finalize, requireFinalize } from './finalize.ts';
import { rule, type UpdateName } from './state/policy.ts';
import { STAGES } from './state/stage.ts';
import { requireVerifiable, verifyNow } from './verify-update.ts';
import { awaitCutover, dropRequest, refuseLateWait, requireOpenWindow } from './window.ts';
import { counted } from './wording.ts';

const progressQuery = defineQuery<Progress>('progress');
const recordQuery = defineQuery<MigrationRecord>('record');
const pauseUpdate = defineUpdate<string>('pause');
const resumeUpdate = defineUpdate<string>('resume');
const cutoverUpdate = defineUpdate<string, [unknown]>('cutover');
const approveUpdate = defineUpdate<string, [unknown]>('approve');
const awaitCutoverUpdate = defineUpdate<string>('await-cutover');
const rehearseUpdate = defineUpdate<string, [unknown]>('rehearse');
const abortUpdate = defineUpdate<string>('abort');
const switchbackUpdate = defineUpdate<string, [unknown]>('switchback');
const finalizeUpdate = defineUpdate<string, [unknown]>('finalize');
const setLimitsUpdate = defineUpdate<string, [unknown]>('setLimits');
const verifyUpdate = defineUpdate<string, [unknown]>('verify');
const repairUpdate = defineUpdate<string, [unknown]>('repair');
const guardSignal = defineSignal<[unknown]>(GUARD_SIGNAL);

/** @param work the scope of everything that an abort has to stop. */
export function acceptOperator(run: Execution, work: CancellationScope): void {
  setHandler(progressQuery, () => run.progress(), {
    description:
      'Phase, state (running, paused, waiting: with reason and action), confirmed LSN, counters',
  });
  setHandler(recordQuery, () => run.record(), {
    description: 'How the migration went so far, for walferry report',
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
      'Finish the migration: stops the writes (with a fence; otherwise stop the writers first), drains the stream, compares rows, sets sequences, drops the slot. Asked for before its window, or before it is approved, it is answered at once and runs later. Optional input: {"compare": "changed" | "full" | "exact" | "off", "maxDowntimeSeconds": n, "accept": ["finding of readiness", …], "window": {"from": …, "to": …}}',
    validator: (options) => {
      mayAsk(run, 'cutover');
      const wanted = requireOptions(options);
      if (!run.cutover) requireOpenWindow(run, wanted);
    },
  });
  setHandler(approveUpdate, (given) => approve(run, given), {
    description:
      'Let the cutover begin, where the input says "approval": "required", before or after it is asked for: {"name": "…", "note": "…"}',
    validator: (given) => {
      mayAsk(run, 'approve');
      requireApproval(run, given);
    },
  });
  setHandler(awaitCutoverUpdate, () => awaitCutover(run), {
    description: 'Wait for the end of the cutover that was asked for; returns its answer',
    validator: () => {
      mayAsk(run, 'await-cutover');
      refuseLateWait(run);
    },
  });
  setHandler(rehearseUpdate, (options) => startRehearsal(run, options), {
    description:
      'Do everything of a cutover that is safe while the application writes, and answer how long it would have been stopped. {"fence": true} really stops the writes, for 5 s at most; {"accept": ["finding of readiness", …]} as for cutover',
    validator: (options) => {
      mayAsk(run, 'rehearse');
      rehearsalOf(run, options);
    },
  });
  setHandler(abortUpdate, () => abort(run, work), {
    description:
      'End the migration: drops slot and control schema; what was copied stays on the target, complete or not',
    validator: () => mayAsk(run, 'abort'),
  });
  setHandler(switchbackUpdate, (options) => switchBack(run, options), {
    description:
      'Return to the old database: the same cutover in the other direction, while the way back is open. Optional input as for cutover, but no window, and "accept" takes "downtime-too-long" only',
    validator: (options) => {
      mayAsk(run, 'switchback');
      requireOptionsBack(options);
    },
  });
  setHandler(finalizeUpdate, (options) => finalize(run, options), {
    description:
      'End the way back: drops its slot on the target and its state on the source; returns the summary of the migration. Optional input: {"oldDatabase": "sealed" | "open"}',
    validator: (options) => {
      mayAsk(run, 'finalize');
      requireFinalize(options);
    },
  });
  setHandler(setLimitsUpdate, (change) => setLimits(run, change), {
    description:
      'Change limits of the running migration: {"copyStreams": n, "copyBytesPerSecond": n, "applyChangesPerSecond": n, "guard": "on" | "off"}; 0 is unlimited, omitted fields keep their value',
    validator: (change) => {
      mayAsk(run, 'setLimits');
      requireFittingChange(run, change);
    },
  });
  setHandler(verifyUpdate, () => verifyNow(run, 'verify'), {
    description:
      'Compare every row of every table while the migration streams; returns the result, or that it is still running',
    validator: (options) => {
      mayAsk(run, 'verify');
      requireVerifiable(run, 'verify', options);
    },
  });
  setHandler(repairUpdate, () => verifyNow(run, 'repair'), {
    description:
      'Copy the rows again that the newest verification found to differ, and compare them; returns the result',
    validator: (options) => {
      mayAsk(run, 'repair');
      requireVerifiable(run, 'repair', options);
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
  const { held } = run.state;
  // Whoever pauses wants nothing to begin on its own.
  dropRequest(run, 'Cancelled', 'the cutover that was asked for was withdrawn by pause');
  const answer = await pauseStream(run, work);
  return held ? `${answer} The cutover that was asked for is withdrawn.` : answer;
}

async function pauseStream(run: Execution, work: CancellationScope): Promise<string> {
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
  const [from, to] = isBack ? ['new database', 'old database'] : ['source', 'target'];
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
  const what = cutover.rehearsal === undefined ? directionOf(run).what : 'rehearsal';
  cutover.cancelled = true;
  if (cutover.scope) {
    cutover.scope.cancel();
    const switched = await cutover.answer.promise.catch(() => null);
    // The outcome was there before the pause could undo it.
    if (switched !== null) throw ending('Refused', `too late to undo the ${what}. ${switched}`);
  } else {
    const { lease } = run;
    run.cancelCutover('before its first step');
    lease?.fencing?.cancel();
    await lease?.stopped.promise;
  }
  // An abort or a cancellation came in between.
  if (hasEnded(run, work)) {
    throw ending('Ended', `the migration ended while the ${what} was being cancelled`);
  }
  return `${capital(what)} cancelled. ${paused(run)}`;
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

function abort(run: Execution, work: CancellationScope): Promise<string> {
  if (run.at !== 'aborting') {
    run.tell({ type: 'abort' });
    work.cancel();
  }
  return run.ended.promise;
}
