/**
 * The activities as the workflow sees them. Names and shapes are wire format: they are in the histories of running
 * migrations, so names never change, and fields are only added. One object in, one small object out.
 */
import type { Finding } from '../contract/finding.ts';
import type { GuardInput } from '../contract/guard.ts';
import type { CopyFormat, MigrationInput } from '../contract/input.ts';
import type { Limits } from '../contract/limits.ts';
import type { Lsn } from '../contract/lsn.ts';
import type { Migration } from '../contract/migration.ts';
import type {
  AnalyzeReport,
  Checkpoint,
  CopyPlan,
  CopyResult,
  CutoverCall,
  CutoverReport,
  HoldReport,
  IndexReport,
  RefreshReport,
  SchemaReport,
  SlotReport,
  StreamReport,
} from '../contract/work.ts';

/** For steps that need only the control schema: what each of thousands of steps carries is in the history each time. */
export interface BareStep {
  readonly migration: Migration;
}

export interface TriggerStep extends BareStep {
  /** The migration was aborted: the source may be gone, and no one reads the differences. */
  readonly aborted?: true;
}

/** Histories of earlier code have a number in its place, which has no differences either. */
export interface TriggerReport {
  /** Triggers and rules. */
  readonly enabled: number;
  /** Check constraints that differ from the source; unset: none. */
  readonly differences?: readonly string[];
}

export interface Step extends BareStep {
  readonly input: MigrationInput;
}

export interface LimitsStep extends BareStep {
  readonly limits: Limits;
  /** Grows with every change of the limits. */
  readonly version: number;
}

export interface HoldStep extends BareStep {
  readonly guard?: GuardInput;
}

export interface CopyStep extends BareStep {
  readonly pass: number;
  readonly run: CopyPlan['runs'][number];
  /** Absent in histories of earlier code. */
  readonly format?: CopyFormat;
}

export interface StreamStep extends Step {
  /** The target must not be below it: it was confirmed before. */
  readonly floor: Lsn | null;
  /** Apply everything up to this position and return, instead of working for a lease. */
  readonly until: Lsn | null;
  readonly leaseMs: number;
}

export interface EndMarkStep extends BareStep {
  /** Absent in histories of earlier code. */
  readonly call?: CutoverCall;
}

export interface LaterChangesStep extends Step {
  readonly since: Lsn;
}

export interface DropSlotStep extends Step {
  /** The end mark of a cutover that ends with this step: the slot is kept when something changed after it. */
  readonly since?: Lsn;
}

export interface RefreshStep extends Step {
  /** The cutover's end mark; null: fill the views that were never filled. */
  readonly at: Lsn | null;
}

export interface SequenceReport {
  readonly sequences: number;
  /** Sequences of the source that are missing on the target. */
  readonly missing: readonly string[];
  /** How many more are missing without being named; unset for none. */
  readonly unnamed?: number;
  /** Indexes, constraints, defaults and the like that are on one side only or differ; unset when not checked. */
  readonly differences?: readonly string[];
}

export interface Activities {
  /** Everything that would make the migration fail or lose data, and warnings. Changes nothing. */
  preflight(step: Step): Promise<Finding[]>;
  copySchema(step: Step): Promise<SchemaReport>;
  createSlot(step: BareStep): Promise<SlotReport>;
  /** Keeps one exported snapshot open until it is cancelled. */
  holdSnapshot(step: HoldStep): Promise<HoldReport | undefined>;
  /** Writes the limits where running activities see them. */
  storeLimits(step: LimitsStep): Promise<void>;
  /** Waits for an exported snapshot and lists the remaining runs; none when everything is copied. */
  planCopy(step: Step): Promise<CopyPlan>;
  copyChunks(step: CopyStep): Promise<CopyResult>;
  buildIndexes(step: Step): Promise<IndexReport>;
  analyzeTables(step: Step): Promise<AnalyzeReport>;
  buildConstraints(step: Step): Promise<IndexReport>;
  /** Refreshes the materialized views that hold rows on the source. */
  refreshViews(step: RefreshStep): Promise<RefreshReport>;
  /** Returns early, with its checkpoint, when it is cancelled or its worker shuts down. */
  streamChanges(step: StreamStep): Promise<StreamReport>;
  /** Takes the next epoch, so that earlier attempts can no longer write, and reads the checkpoint. */
  fenceStream(step: BareStep): Promise<Checkpoint>;
  /** Everything committed before the call is before the returned position. Refuses a call that another run has begun. */
  writeEndMark(step: EndMarkStep): Promise<Lsn>;
  setSequences(step: Step): Promise<SequenceReport>;
  compareCounts(step: Step): Promise<Pick<CutoverReport, 'tables' | 'rows'>>;
  /** Tables that changed at or after `since`. */
  laterChanges(step: LaterChangesStep): Promise<string[]>;
  /**
   * Gives triggers and rules of the target the state that they have on the source, and adds the check constraints that
   * waited for it.
   */
  enableTriggers(step: TriggerStep): Promise<TriggerReport>;
  /** Disables them again, for a cutover that was undone. @returns how many. */
  disableTriggers(step: BareStep): Promise<number>;
  dropSlot(step: DropSlotStep): Promise<'dropped' | 'absent'>;
  /** Drops what copySchema created on the target, control rows included. Never a table with rows. */
  undoSchema(step: BareStep): Promise<void>;
  /** Removes the migration's control rows, and the control schema with the last of them. */
  dropControl(step: BareStep): Promise<void>;
}
