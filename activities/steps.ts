/**
 * What the activities do: one function each, `(input, work)`, over postgres/. Names, inputs and results are wire
 * format: they are in the histories of running migrations. Tests pass their own functions to `createActivities`.
 */
import { reportDefinitions, type DefinitionReport } from '../contract/definition.ts';
import type { RemovalReport } from '../contract/fence.ts';
import type { GuardInput } from '../contract/guard.ts';
import type { CopyFormat } from '../contract/input-schema.ts';
import type { Limits } from '../contract/limits.ts';
import type { Lsn } from '../contract/lsn.ts';
import { reverseOf } from '../contract/reversed.ts';
import type {
  CopyPlan,
  CutoverCall,
  SequenceReport,
  TriggerReport,
  Work,
} from '../contract/work.ts';
import { resolvedWindow, type CutoverWindow, type WindowInput } from '../contract/window.ts';
import { storeLimits } from '../postgres/store/throttle.ts';
import { isFenced } from '../contract/cutover.ts';
import { unlessSwitched } from '../postgres/cutover/unless-switched.ts';
import { compareCounts } from '../postgres/cutover/compare-counts.ts';
import { writeEndMark } from '../postgres/stream/end-mark.ts';
import { laterChanges } from '../postgres/cutover/later-changes.ts';
import { checkLines, unloggedLines } from '../postgres/cutover/other-differences.ts';
import { compareBack } from '../postgres/definition/compare-back.ts';
import { compareDefinitions } from '../postgres/definition/compare-definitions.ts';
import { compareContents } from '../postgres/definition/view-contents.ts';
import { releaseSlot } from '../postgres/cutover/release-slot.ts';
import { setSequences } from '../postgres/cutover/set-sequences.ts';
import { connectTarget } from '../postgres/session/open.ts';
import { refuseUnlogged } from '../postgres/cutover/unlogged-refusal.ts';
import {
  closeBeforeRows,
  closeBesideStream,
  closeAgain,
  openWithTriggers,
  removeFromTarget,
} from '../postgres/fence/target-steps.ts';
import { assessReadiness } from '../postgres/readiness/assess-readiness.ts';
import { inspect } from '../postgres/preflight/inspect.ts';
import { analyzeTables } from '../postgres/schema/analyze-tables.ts';
import { buildConstraints } from '../postgres/schema/build-constraints.ts';
import { copySchema } from '../postgres/schema/copy-schema.ts';
import { endOnTarget } from '../postgres/schema/drop-control.ts';
import { buildIndexes } from '../postgres/schema/build-indexes.ts';
import { runLateGrants } from '../postgres/schema/late-grant.ts';
import { enableTriggers, disableTriggers } from '../postgres/schema/disable-trigger.ts';
import { refreshViews } from '../postgres/schema/refresh-views.ts';
import { undoSchema } from '../postgres/schema/undo-schema.ts';
import { createSlot } from '../postgres/slot/create-slot.ts';
import { dropSlot } from '../postgres/slot/drop-slot.ts';
import { copyChunks } from '../postgres/snapshot/copy-run.ts';
import { holdSnapshot } from '../postgres/snapshot/snapshot-owner.ts';
import { planCopy } from '../postgres/snapshot/copy-plan.ts';
import { fenceStream, streamChanges } from '../postgres/stream/lease.ts';
import { LagSamples } from './lag-samples.ts';
import { onWayBack } from '../postgres/switchback/on-way-back.ts';
import { streamReverse } from '../postgres/switchback/reverse-stream.ts';
import { ParkedStreams } from '../postgres/stream/parked.ts';
import { BegunRuns } from './begun-runs.ts';
import { cutoverSteps, settleStep } from './cutover-steps.ts';
import type { BareStep, Step } from './step.ts';
import { verificationSteps } from './verification-steps.ts';
import { sideOf, wayBackSteps, withSides } from './way-back-steps.ts';

/** The functions behind the activities, by the names of these. */
export type Steps = typeof steps;

/** Of this worker: each process has its own. */
const parked = new ParkedStreams();
const runs = new BegunRuns();

/** Closes what stays open between two steps; to be called when no further step can come. */
export const closeSteps = (): Promise<void> => parked.closeAll();

/** The steps that a real worker runs. */
export const steps = {
  ...verificationSteps,

  ...cutoverSteps,
  ...wayBackSteps,

  /** Everything that would make the migration fail or lose data, and warnings. Changes nothing. */
  preflight: ({ migration, input }: Step, work: Work) => inspect(migration, input, work),

  /** The window of the input in UTC, by this worker's data of time zones. */
  resolveWindow: ({
    window,
  }: BareStep & { readonly window: WindowInput }): Promise<CutoverWindow> =>
    Promise.resolve(resolvedWindow(window)),

  copySchema: async ({ migration, input }: Step, work: Work) => {
    const report = await copySchema(migration, input, work);
    await closeBeforeRows(migration, work);
    return report;
  },

  createSlot: ({ migration }: BareStep, work: Work) => createSlot(migration, work),

  /** Keeps one exported snapshot open until it is cancelled. */
  holdSnapshot: ({ migration, guard }: BareStep & { readonly guard?: GuardInput }, work: Work) =>
    holdSnapshot(migration, work, guard),

  /** Writes the limits where running activities see them. @param version grows with every change of the limits. */
  storeLimits: async ({
    limits,
    version,
    ...step
  }: BareStep & { readonly limits: Limits; readonly version: number }): Promise<void> => {
    const migration = sideOf(step);
    await using target = await connectTarget(migration, 'limits');
    await storeLimits(target, migration, { limits, version });
  },

  /** Waits for an exported snapshot and lists the remaining runs; none when everything is copied. */
  planCopy: async ({ migration, input }: Step, work: Work) => {
    // Tables that joined the migration since.
    await closeBeforeRows(migration, work);
    return planCopy(migration, input, work);
  },

  copyChunks: (
    {
      migration,
      ...run
    }: BareStep & {
      readonly pass: number;
      readonly run: CopyPlan['runs'][number];
      /** Absent in histories of earlier code. */
      readonly format?: CopyFormat;
    },
    work: Work,
  ) => copyChunks(migration, run, work),

  buildIndexes: ({ migration, input }: Step, work: Work) => buildIndexes(migration, input, work),

  analyzeTables: ({ migration, input }: Step, work: Work) => analyzeTables(migration, input, work),

  buildConstraints: ({ migration, input }: Step, work: Work) =>
    buildConstraints(migration, input, work),

  /**
   * Refreshes the materialized views that hold rows on the source.
   * @param at the cutover's end mark; null: fill the views that were never filled.
   */
  refreshViews: ({ migration, input, at }: Step & { readonly at: Lsn | null }, work: Work) =>
    refreshViews(migration, input, at, work),

  /** Returns early, with its checkpoint, when it is cancelled or its worker shuts down. */
  streamChanges: async (
    { migration, input, back, floor, until, leaseMs }: StreamStep,
    work: Work,
  ) => {
    const { batchChanges, batchMilliseconds } = input.stream;
    const { tables, ignore } = input;
    const limits = { floor, until, leaseMs, batchChanges, batchMilliseconds };
    // The old database keeps the fence of its source.
    const joined = () => (back ? Promise.resolve() : closeBesideStream(migration, work));
    // Within a cutover every moment counts.
    if (until === null) {
      if (isFenced(input)) {
        const step = { migration, input, ...(back ? { back } : {}) };
        await runs.begin(migration, work, () => settleStep(step, work));
      }
      // Also those that joined in a lease whose worker died.
      await joined();
    }
    const options = { ...limits, ...tables, ignore, joined };
    const samples = new LagSamples();
    const stream = back ? streamReverse : streamChanges;
    return samples.addedTo(await stream(migration, options, samples.watching(work), parked));
  },

  /** Takes the next epoch, so that earlier attempts can no longer write, and reads the checkpoint. */
  fenceStream: (step: BareStep) => fenceStream(sideOf(step)),

  /** Everything committed before the call is before the returned position. Refuses a call that another run has begun. */
  writeEndMark: (
    { call, ...step }: BareStep & { readonly call?: CutoverCall },
    { signal }: Pick<Work, 'signal'>,
  ) => writeEndMark(sideOf(step), signal, call),

  /**
   * In which objects beside rows the target differs from the source; on the way back, the old database from the new one. Changes
   * nothing.
   * @param contents also what materialized views show.
   */
  compareDefinitions: async (
    { migration, input, back, contents }: Step & { readonly contents?: true },
    work: Work,
  ): Promise<DefinitionReport> => {
    const compare = () => (back ? compareBack : compareDefinitions)(migration, input, work);
    const found = back
      ? onWayBack(reverseOf(migration), 'comparing definitions', compare, work.signal)
      : compare();
    const differences = await found;
    const views = contents ? await compareContents(migration, input, work) : null;
    return reportDefinitions(differences, views);
  },

  /** Measures whether a cutover could begin now; the workflow judges. Changes nothing. */
  assessReadiness: ({ migration, input }: Step, work: Work) =>
    assessReadiness(migration, input, work),

  setSequences: async ({ migration, input }: Step, work: Work): Promise<SequenceReport> => ({
    ...(await setSequences(migration, input, work)),
    differences: await unloggedLines(migration, input, work),
  }),

  compareCounts: (step: Step, work: Work) =>
    withSides(step, ({ migration, input }) => compareCounts(migration, input, work), work),

  /** @returns tables that changed at or after `since`. */
  laterChanges: async (step: LaterStep, { signal, beat }: Work): Promise<string[]> =>
    withSides(
      step,
      async ({ migration, input, since, writers }) => {
        await refuseUnlogged(migration, input, signal, beat);
        return laterChanges(migration, input, since, signal, beat, writers);
      },
      { signal },
    ),

  /**
   * Gives triggers and rules of the target the state that they have on the source, and adds the check constraints that
   * waited for it.
   */
  enableTriggers: async (
    { migration, aborted }: TriggerStep,
    work: Work,
  ): Promise<TriggerReport> => {
    if (aborted) {
      return { enabled: await enableTriggers(migration, work, 'the source if it is there') };
    }
    const enabled = await enableTriggers(migration, work);
    await openWithTriggers(migration, work);
    const differences = await checkLines(migration, work);
    return { enabled, ...(differences.length === 0 ? {} : { differences }) };
  },

  /** Disables them again, for a cutover that was undone. @returns how many. */
  disableTriggers: async (step: BareStep, work: Work): Promise<number> => {
    const migration = sideOf(step);
    // A run before a reset may have switched: then the stream finds out next, and the migration completes.
    return unlessSwitched(0, async () => {
      await closeAgain(migration, work);
      return disableTriggers(migration, work);
    });
  },

  dropSlot: (
    { migration, input, since }: DropSlotStep,
    { signal, scheduledAt, beat }: Work,
  ): Promise<'dropped' | 'absent'> =>
    since === undefined
      ? dropSlot(migration)
      : releaseSlot(migration, input, since, signal, scheduledAt, beat),

  /** Drops what copySchema created on the target, control rows included. Never a table with rows. */
  undoSchema: async ({ migration }: BareStep, work: Work): Promise<RemovalReport> => {
    await undoSchema(migration, work.signal, work.beat);
    return removeFromTarget(migration, work);
  },

  /** Removes the migration's control rows, and the control schema with the last of them. @returns what is left of its fence. */
  dropControl: async ({ migration }: BareStep, work: Work): Promise<RemovalReport> => {
    await runLateGrants(migration);
    const report = await removeFromTarget(migration, work);
    await using target = await connectTarget(migration, 'cleanup', { unregistered: 'any more' });
    await endOnTarget(target, migration);
    return report;
  },
};

interface StreamStep extends Step {
  /** The target must not be below it: it was confirmed before. */
  readonly floor: Lsn | null;
  /** Apply everything up to this position and return, instead of working for a lease. */
  readonly until: Lsn | null;
  readonly leaseMs: number;
}

interface LaterStep extends Step {
  readonly since: Lsn;
  /** Unset: the operator has stopped them. */
  readonly writers?: 'fenced';
}

interface TriggerStep extends BareStep {
  /** The migration was aborted: the source may be gone, and no one reads the differences. */
  readonly aborted?: true;
}

interface DropSlotStep extends Step {
  /** The end mark of a cutover that ends with this step: the slot is kept when something changed after it. */
  readonly since?: Lsn;
}
