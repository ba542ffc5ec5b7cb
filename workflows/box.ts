/**
 * The box of a cutover: from the first refused write to the outcome. Writes are stopped here, so every step is short, timed, and
 * cut off when the time is over. The workflow never decides how it ends: whatever happens, it asks for an undo, and follows the
 * outcome that the target has.
 *
 *   arm, prove, mark → drain → checks → seal, prove, mark → drain → switch
 */
import { CancellationScope, log, sleep, uuid4 } from '@temporalio/workflow';
import { cutoverId, type OutcomeReport, type SwitchReport } from '../contract/cutover.ts';
import { DATABASE_EXTRAS } from '../contract/fence.ts';
import type { FenceTaking } from '../contract/fence-change.ts';
import type { Lsn } from '../contract/lsn.ts';
import type { CutoverBox } from '../contract/progress.ts';
import type { Comparison } from '../contract/comparison.ts';
import { long } from './activities.ts';
import { check } from './box-checks.ts';
import { inBox } from './box-step.ts';
import { capital, directionOf } from './direction.ts';
import type { Execution } from './execution.ts';
import { ending, isStopped, raise, reasonOf, throwIfStopped } from './failure.ts';
import { BOXED, BOXED_DRAIN, undoing, undoPauseMs } from './options.ts';
import { sealStep, writesAt } from './state/box-deadline.ts';
import { streamChanges } from './stream.ts';
import type { Counts } from './summary.ts';
import { duration } from './wording.ts';

export interface BoxOrder {
  readonly seconds: number;
  readonly compare: Comparison;
  /** What the fence will change besides its own objects. */
  readonly changes: readonly FenceTaking[];
}

/** What the cutover did, when it switched. */
export interface Switched {
  readonly cutover: string;
  /** The second mark; null when only the outcome is known, because a run before a reset switched. */
  readonly mark: Lsn | null;
  readonly report: SwitchReport;
  readonly counts: Counts | null;
}

/**
 * Runs the box. Returns only when the outcome is `switched`, also if this run was cancelled meanwhile.
 * @throws the failure because of which it was undone, after the source takes writes again; `DowntimeTooLong`; CancelledFailure.
 */
export async function runBox(run: Execution, order: BoxOrder): Promise<Switched> {
  const cutover = cutoverId(run.migration, uuid4());
  run.tell({ type: 'boxBegun', cutover, changes: order.changes });
  const box = new CancellationScope({ cancellable: true, timeout: `${order.seconds} seconds` });
  const done: { mark: Lsn | null; counts: Counts | null } = { mark: null, counts: null };
  const begun = Date.now();
  let failure: unknown;
  try {
    const report = await box.run(() => steps(run, cutover, order, done));
    if (report.decided === 'switched') return { cutover, ...done, report };
  } catch (error) {
    if (reasonOf(error) === undefined) throw error;
    failure = error;
  }
  const late = box.consideredCancelled && !isStopped();
  const where = timesOf(run);
  const { decided, ...rest } = await CancellationScope.nonCancellable(() => undo(run, cutover));
  if (decided === 'switched') {
    // The answer of the attempt that switched was lost.
    const report = { decided, ...rest, sequences: null, differences: [] };
    return { cutover, ...done, report };
  }
  throwIfStopped();
  if (late) throw tooLate(run, order, where, Date.now() - begun);
  return raise(failure ?? ending('Fenced', 'another attempt decided that the cutover is undone'));
}

/**
 * Stops the writes for at most that long, does everything up to the seal, and gives them back in any case.
 * @returns how long the writes were stopped at most, and each step.
 * @throws the failure of the step that would have prevented the cutover; `DowntimeTooLong`.
 */
export async function rehearseBox(
  run: Execution,
  order: BoxOrder,
): Promise<{ readonly seconds: number; readonly steps: CutoverBox['spent'] }> {
  const cutover = cutoverId(run.migration, uuid4());
  run.tell({ type: 'boxBegun', cutover, changes: order.changes });
  const box = new CancellationScope({ cancellable: true, timeout: `${order.seconds} seconds` });
  const done = { mark: null, counts: null };
  const begun = Date.now();
  let failure: unknown;
  await box
    .run(() => beforeSeal(run, cutover, order, done, true))
    .catch((error: unknown) => {
      if (reasonOf(error) === undefined) throw error;
      failure = error;
    });
  const late = box.consideredCancelled && !isStopped();
  const where = timesOf(run);
  await CancellationScope.nonCancellable(() => undo(run, cutover));
  const seconds = (Date.now() - begun) / 1000;
  throwIfStopped();
  if (late) throw tooLate(run, order, where, seconds * 1000);
  if (failure !== undefined) raise(failure);
  const { stage } = run.state;
  return { seconds, steps: stage.at === 'fenced' ? stage.box.spent : [] };
}

interface Armed {
  readonly deadline: string;
  readonly mark: Lsn;
  /** Changes applied up to the mark. */
  readonly before: number;
}

/** No one writes, everything is on the target, and it is checked. */
async function beforeSeal(
  run: Execution,
  cutover: string,
  { seconds, compare }: BoxOrder,
  done: { counts: Counts | null },
  rehearsal: boolean,
): Promise<Armed> {
  const { endSessions } = run.input.fenceExtras;
  const box = {
    ...{ cutover, milliseconds: seconds * 1000, endSessions },
    ...(rehearsal ? ({ rehearsal: true } as const) : {}),
  };
  const armed = await inBox(run, 'stop the writes', () =>
    long.armCutover.executeWithOptions(
      { ...BOXED, activityId: 'arm', summary: 'arm, prove, mark' },
      [{ ...run.step, box }],
    ),
  );
  if (armed.decided !== null) throw overtaken(armed.decided);
  const { deadline, mark, ended = 0 } = armed;
  const returns = comesBack(run, rehearsal) ? deadline : null;
  run.tell({ type: 'armed', deadline: returns, seconds, ended });
  const before = await drain(run, mark);
  done.counts = await check(run, mark, { compare, seconds });
  return { deadline, mark, before };
}

/** Whether the writes come back at the deadline by themselves: what else than the trigger is taken does not. */
function comesBack({ input: { fence, fenceExtras } }: Execution, rehearsal: boolean): boolean {
  if (fence !== 'trigger') return false;
  return rehearsal || DATABASE_EXTRAS.every((one) => !fenceExtras[one]);
}

async function steps(
  run: Execution,
  cutover: string,
  order: BoxOrder,
  done: { mark: Lsn | null; counts: Counts | null },
): Promise<SwitchReport> {
  const { deadline, mark, before } = await beforeSeal(run, cutover, order, done, false);
  const milliseconds = order.seconds * 1000;
  const { from, to, what } = directionOf(run);
  const sealed = await inBox(run, sealStep(from), () =>
    long.sealCutover.executeWithOptions(
      { ...BOXED, activityId: 'seal', summary: 'seal, prove, mark' },
      [{ ...run.step, cutover }],
    ),
  );
  if (sealed.decided !== null) throw overtaken(sealed.decided);
  const since = sealed.mark;
  if (since === null) {
    throw ending(
      'DowntimeTooLong',
      `${from} took writes again at ${deadline}, before everything was checked: the ${what} is undone`,
    );
  }
  run.tell({ type: 'sealed' });
  const after = await drain(run, since);
  if (after !== before) throw slipped(run, mark, since);
  done.mark = since;
  // Both sides hold the same rows now, and neither takes writes.
  if (run.input.switchback !== undefined && !run.isBack && run.withoutWayBack === undefined) {
    await inBox(run, 'plan the way back', () =>
      long.planReverse.executeWithOptions(
        { ...BOXED_DRAIN, activityId: 'plan-back', summary: 'plan the way back' },
        [{ migration: run.migration, input: run.input }],
      ),
    );
  }
  // Noted before the step begins, because its answer may be lost after the work is done.
  run.tell({ type: 'triggersEnabled' });
  const { sequenceMargin = null } = run.input.cutover;
  return inBox(run, `switch to ${to}`, () =>
    long.switchCutover.executeWithOptions(
      { ...BOXED, activityId: 'switch', summary: 'enable triggers, release the target' },
      [{ ...run.step, cutover, since, deadline, milliseconds, sequenceMargin }],
    ),
  );
}

/** @returns how many changes of selected tables were applied since the migration began. */
async function drain(run: Execution, until: Lsn): Promise<number> {
  for (;;) {
    const { reached, changes } = await inBox(run, `drain to ${until}`, () =>
      streamChanges(run, 'drain', { until, retry: BOXED.retry, options: BOXED_DRAIN }),
    );
    if (reached) return changes;
  }
}

/** Never gives up: no one else opens a sealed source. What keeps it from deciding is shown. */
async function undo(run: Execution, cutover: string): Promise<OutcomeReport> {
  run.tell({ type: 'stepBegun', step: 'undo the cutover' });
  for (let rounds = 0; ; rounds += 1) {
    const began = Date.now();
    try {
      const report = await long.undoCutover.executeWithOptions(
        {
          ...undoing(rounds),
          activityId: 'undo',
          summary: 'undo the cutover, or find it switched',
        },
        [{ ...run.step, cutover }],
      );
      if (report.decided === 'undone') run.tell({ type: 'writesReturned' });
      return report;
    } catch (error) {
      const reason = reasonOf(error);
      if (!reason) throw error;
      log.warn('the outcome of the cutover cannot be decided yet', { ...reason });
      // The outcome comes first: what fails on the source fails after it, when it is decided and known.
      const failing =
        reason.side === 'source'
          ? { code: reason.code, reason: reason.message, action: decidedUndone(run) }
          : { code: 'OutcomeUnknown' as const, reason: reason.message, action: unknown(run) };
      run.tell({ type: 'stepFailing', ...failing });
    }
    await sleep(undoPauseMs(rounds, Date.now() - began));
  }
}

/** Only one database knows the outcome. Opening the other one before it answers could make two live databases. */
function unknown(run: Execution): string {
  const { migration, state } = run;
  const { source, target } = migration;
  const [from, to] = run.isBack ? [target, source] : [source, target];
  const { stage } = state;
  const now = new Date().toISOString();
  if (stage.at === 'fenced' && writesAt(stage.box, stage.step, now) === 'returned') {
    return `Bring "${to}" back: the ${directionOf(run).what} is then undone. "${from}" takes writes again already.`;
  }
  return `Bring "${to}" back: it alone knows the outcome. Only if it is shut down for good: walferry cutover-force-undo gives the writes back on "${from}".`;
}

/** Nothing has to be done on the other side, least of all shutting it down. */
function decidedUndone(run: Execution): string {
  const { from, what } = directionOf(run);
  return `The ${what} is undone, and ${from} is the live database: bring it up, and walferry gives the writes back there.`;
}

/** Where the time went, as far as the steps have ended. */
function timesOf({ state: { stage } }: Execution): string {
  if (stage.at !== 'fenced' || stage.step === null) return '';
  const { step, since } = stage.step;
  const last = { step, seconds: (Date.now() - Date.parse(since)) / 1000 };
  const all = [...stage.box.spent, last];
  const longest = all.reduce((most, one) => (one.seconds > most.seconds ? one : most));
  const list = all.map((one) => `${one.step} ${duration(one.seconds)}`).join(', ');
  return `step "${longest.step}" took most of them (${list})`;
}

function tooLate(run: Execution, { seconds }: BoxOrder, where: string, ms: number): Error {
  const { from, what } = directionOf(run);
  return ending(
    'DowntimeTooLong',
    `the ${what} did not end within ${seconds} s and was undone after ${duration(ms / 1000)}: ${where}. ${capital(from)} takes writes again`,
  );
}

function slipped(run: Execution, mark: Lsn, since: Lsn): Error {
  const { what, from, call } = directionOf(run);
  return ending(
    'StillWriting',
    `selected tables changed between the end mark ${mark} and the seal at ${since}, in spite of the fence: the ${what} is undone. Find what writes past the fence on ${from}, for example a trigger that was disabled, then call ${call} again`,
  );
}

/** Somebody else has decided: the undo that follows reads how. */
function overtaken(decided: OutcomeReport['decided']): Error {
  return ending('Fenced', `the cutover is ${decided} already`);
}
