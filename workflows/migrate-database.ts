/**
 * The workflow `migrateDatabase`: moves one database to another PostgreSQL while the application keeps writing. This
 * file is the whole story from top to bottom; each step has its own file. It is also the entry of the workflow bundle,
 * so every function exported from it is a workflow type.
 *
 * Deterministic code: what decides about commands (how many streams, which runs) comes from recorded results of
 * activities. Names and ids of activities, and their order, are in the histories of running migrations.
 */
import {
  CancellationScope,
  CancelledFailure,
  isCancellation,
  patched,
  TemporalFailure,
  workflowInfo,
} from '@temporalio/workflow';
import { DEFAULT_FENCE, NO_DEFAULT_FENCE } from '../contract/fence.ts';
import { countFindings, noteFindings, renderFindings } from '../contract/finding.ts';
import { parseInput } from '../contract/input.ts';
import { type MigrationInput } from '../contract/input-schema.ts';
import { slotName } from '../contract/slot-name.ts';
import { type Migration } from '../contract/migration.ts';
import type { MigrationSummary } from '../contract/work.ts';
import { long } from './activities.ts';
import { attempted, withOperator } from './with-operator.ts';
import { close, type Outcome } from './closing.ts';
import { cutOver } from './cutover.ts';
import { Execution } from './execution.ts';
import { ending, throwIfStopped } from './failure.ts';
import { leftOutNotes } from './left-out.ts';
import { acceptOperator } from './operator.ts';
import { LONG } from './options.ts';
import { acceptPlaceWaits } from './place-wait.ts';
import { copyRows } from './snapshot.ts';
import { carriedState, initialState, type State } from './state/state.ts';
import { buildConstraints, streamUntilCutover } from './stream.ts';
import { resolveWindow, watchRequest } from './window.ts';
import { watchWayBack } from './way-back-time.ts';

/**
 * @param raw what the operator gave with `--input`; parsed here.
 * @param carried state of the previous run of a continue-as-new chain; from no other caller.
 */
export async function migrateDatabase(raw?: unknown, carried?: unknown): Promise<MigrationSummary> {
  refuseTimeouts();
  const input = inputOf(raw);
  const run = new Execution(identity(input), input, stateOf(carried));
  const work = new CancellationScope();
  acceptOperator(run, work);
  acceptPlaceWaits(run);
  watchRequest(run);
  const outcome = await settled(work, () => migrate(run, raw));
  return CancellationScope.nonCancellable(() => close(run, outcome));
}

async function migrate(run: Execution, raw: unknown): Promise<MigrationSummary> {
  if (run.at === 'preflight') {
    await resolveWindow(run);
    await preflight(run);
    await prepare(run);
    run.tell({ type: 'copyBegun' });
    await withOperator(run, 'snapshot', () => copyRows(run));
    run.tell({ type: 'indexingBegun' });
    await withOperator(run, 'indexes', () => buildIndexes(run));
    // One try here: after a failure and a resume the stream has to continue before the next try.
    if (run.state.consistent) await attempted(run, 'constraints', () => buildConstraints(run));
    run.tell({ type: 'streamBegun' });
  }
  for (;;) {
    const watching = watchWayBack(run);
    try {
      await streamUntilCutover(run, raw);
      const done = run.at === 'finalizing' ? run.state.back?.summary : await cutOver(run);
      if (done) return done;
    } catch (error) {
      const { back } = run.state;
      // The migration is complete: a cancellation ends only the way back.
      if (back === undefined || !isCancellation(error)) throw error;
      refuseSwitchBack(run);
      run.tell({ type: 'wayBackOver' });
      return back.summary;
    } finally {
      if (watching) await watching.stop();
    }
  }
}

/** Whoever waits for it must not take the summary of the migration for a return. */
function refuseSwitchBack(run: Execution): void {
  const { source, target } = run.migration;
  const message = `the workflow was cancelled: the switch back is undone, "${target}" stays the live database, and there is no way back to "${source}" any more`;
  run.refuseCutover({ code: 'Cancelled', message }, '');
}

const CHOOSES_FENCE = 'fence-default';

/** Errors end the migration before anything is changed; warnings stay visible. */
async function preflight(run: Execution): Promise<void> {
  // A migration that earlier code has begun goes on without.
  const choosing = run.input.fence === undefined && patched(CHOOSES_FENCE);
  const findings = await long.preflight.executeWithOptions(
    { ...LONG, activityId: 'preflight', summary: 'preflight' },
    [run.step],
  );
  throwIfStopped();
  run.tell({ type: 'preflightNoted', notes: noteFindings(findings) });
  if (findings.some(({ level }) => level === 'error')) {
    const found = countFindings(findings);
    throw ending('Preflight', `preflight found ${found}:\n${renderFindings(findings)}`);
  }
  if (choosing) {
    const none = findings.some(({ code }) => code === NO_DEFAULT_FENCE);
    run.tell({ type: 'fenceChosen', fence: none ? 'none' : DEFAULT_FENCE });
  }
}

/** Tables and slot. Marked as begun before they are, because an answer can be lost after the work is done. */
async function prepare(run: Execution): Promise<void> {
  run.tell({ type: 'schemaBegun' });
  const { leftOut, later } = await long.copySchema.executeWithOptions(
    { ...LONG, activityId: 'schema', summary: 'copy schema' },
    [run.step],
  );
  throwIfStopped();
  run.tell({
    type: 'schemaCopied',
    totals: { indexes: later?.indexes ?? null, constraints: later?.constraints ?? null },
    ...{ leftOut, notes: leftOutNotes(leftOut) },
  });
  run.tell({ type: 'slotBegun' });
  const { consistentLsn } = await long.createSlot.executeWithOptions(
    { ...LONG, activityId: 'slot', summary: 'create slot' },
    [run.bare],
  );
  throwIfStopped();
  run.tell({ type: 'slotCreated', consistentLsn });
}

async function buildIndexes(run: Execution): Promise<void> {
  const { built, total } = await long.buildIndexes.executeWithOptions(
    { ...LONG, activityId: 'indexes', summary: 'build indexes' },
    [run.step],
  );
  throwIfStopped();
  run.tell({ type: 'indexesBuilt', built: built ?? null, total: total ?? null });
  const { tables } = await long.analyzeTables.executeWithOptions(
    { ...LONG, activityId: 'analyze', summary: 'analyze tables' },
    [run.step],
  );
  throwIfStopped();
  run.tell({ type: 'tablesAnalyzed', tables });
}

/**
 * How the work ended. Only Temporal's failures are ends: continue-as-new passes through, and a programming error must fail the
 * workflow task (which is retried after a fix) instead of dropping the slot of a migration that could continue.
 */
async function settled(
  work: CancellationScope,
  steps: () => Promise<MigrationSummary>,
): Promise<Outcome> {
  try {
    return { done: await work.run(steps) };
  } catch (error) {
    if (!(error instanceof TemporalFailure)) throw error;
    // A step that was cancelled may end as timed out or failed; the request is what ended the migration.
    return { failure: work.consideredCancelled ? new CancelledFailure('cancelled') : error };
  }
}

/**
 * The server ends a run that is out of time without a last workflow task: no code could drop the slot, which then fills
 * the source's disk. Later runs of a chain skip the check; ending one here would leave the same behind.
 */
function refuseTimeouts(): void {
  const { executionTimeoutMs = 0, runTimeoutMs = 0, continuedFromExecutionRunId } = workflowInfo();
  if (continuedFromExecutionRunId !== undefined) return;
  const named = [
    ...(executionTimeoutMs > 0 ? ['--execution-timeout'] : []),
    // The server limits a run to the execution it belongs to.
    ...(runTimeoutMs > 0 && runTimeoutMs !== executionTimeoutMs ? ['--run-timeout'] : []),
  ];
  if (named.length === 0) return;
  throw ending(
    'InvalidInput',
    `the workflow was started with ${named.join(' and ')}: Temporal would end the migration at that time without cleanup, and its slot would retain WAL on the source without limit. Start it without that option (the update abort ends a migration at any time)`,
  );
}

function inputOf(raw: unknown): MigrationInput {
  const parsed = parseInput(raw);
  if (!parsed.ok) throw ending('InvalidInput', parsed.message);
  return parsed.input;
}

function stateOf(carried: unknown): State {
  if (workflowInfo().continuedFromExecutionRunId !== undefined) return carriedState(carried);
  // A second `--input` on the command line arrives here and must not be taken for carried state.
  if (carried !== undefined) throw ending('InvalidInput', 'invalid input: give exactly one input');
  return initialState(new Date());
}

function identity({ source, target }: MigrationInput): Migration {
  const { workflowId, firstExecutionRunId: id } = workflowInfo();
  return { id, workflowId, source, target, slot: slotName(workflowId, id) };
}
