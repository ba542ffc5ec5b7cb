/** What the activities call: the steps of postgres/. Tests pass their own steps. */
import type { Finding } from '../contract/finding.ts';
import type { GuardInput } from '../contract/guard.ts';
import type { MigrationInput } from '../contract/input.ts';
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
  Work,
} from '../contract/work.ts';
import type { RunOfPass } from '../postgres/snapshot/copy-run.ts';
import type { StreamOptions } from '../postgres/stream/stream-options.ts';
import type { SequenceReport, TriggerReport } from './interface.ts';

/** A long step that needs the input. */
type LongStep<T> = (migration: Migration, input: MigrationInput, work: Work) => Promise<T>;

export interface Steps {
  readonly inspect: LongStep<Finding[]>;
  readonly copySchema: LongStep<SchemaReport>;
  readonly createSlot: (migration: Migration, work: Work) => Promise<SlotReport>;
  readonly holdSnapshot: (
    migration: Migration,
    work: Work,
    guard?: GuardInput,
  ) => Promise<HoldReport | undefined>;
  readonly storeLimits: (
    migration: Migration,
    limits: { readonly limits: Limits; readonly version: number },
  ) => Promise<void>;
  readonly planCopy: LongStep<CopyPlan>;
  readonly copyChunks: (migration: Migration, what: RunOfPass, work: Work) => Promise<CopyResult>;
  readonly buildIndexes: LongStep<IndexReport>;
  readonly analyzeTables: LongStep<AnalyzeReport>;
  readonly buildConstraints: LongStep<IndexReport>;
  readonly refreshViews: (
    migration: Migration,
    input: MigrationInput,
    at: Lsn | null,
    work: Work,
  ) => Promise<RefreshReport>;
  readonly streamChanges: (
    migration: Migration,
    options: StreamOptions,
    work: Work,
  ) => Promise<StreamReport>;
  readonly fenceStream: (migration: Migration) => Promise<Checkpoint>;
  readonly writeEndMark: (
    migration: Migration,
    signal: AbortSignal,
    call?: CutoverCall,
  ) => Promise<Lsn>;
  readonly setSequences: LongStep<SequenceReport>;
  readonly compareCounts: LongStep<Pick<CutoverReport, 'tables' | 'rows'>>;
  readonly laterChanges: (
    migration: Migration,
    input: MigrationInput,
    since: Lsn,
    signal: AbortSignal,
    beat?: Work['beat'],
  ) => Promise<string[]>;
  readonly enableTriggers: (
    migration: Migration,
    aborted: boolean,
    work: Work,
  ) => Promise<TriggerReport>;
  readonly disableTriggers: (migration: Migration, work: Work) => Promise<number>;
  /** @param since the end mark of a cutover; null: dropped unconditionally. */
  readonly dropSlot: (
    migration: Migration,
    input: MigrationInput,
    since: Lsn | null,
    signal: AbortSignal,
    scheduledAt?: number,
    beat?: Work['beat'],
  ) => Promise<'dropped' | 'absent'>;
  readonly undoSchema: (
    migration: Migration,
    signal: AbortSignal,
    beat: Work['beat'],
  ) => Promise<void>;
  readonly dropControl: (migration: Migration) => Promise<void>;
}
