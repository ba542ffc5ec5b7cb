/** What a lease works with once everything is open, and how it ends. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { StreamReport, Work } from '../../contract/work.ts';
import type { TargetApplier } from '../apply/applier.ts';
import type { ReplicationReader } from '../replication/reader.ts';
import type { Barrier } from '../store/barrier.ts';
import type { Attempt } from '../store/epoch.ts';
import type { AnchorPace } from './anchor-pace.ts';
import type { StreamLoop } from './loop.ts';
import type { StreamOptions } from './stream-options.ts';
import type { StreamPlan } from './stream-plan.ts';

export interface LeaseParts {
  readonly migration: Migration;
  readonly options: StreamOptions;
  readonly work: Work;
  readonly source: pg.Client;
  readonly applier: TargetApplier;
  readonly attempt: Attempt;
  /** Of an anchor that the target is still at, in whole or in part; null without one. */
  readonly barrier: Barrier | null;
  /** Of the activity. */
  readonly pace: AnchorPace;
  readonly plan: StreamPlan;
  readonly reader: ReplicationReader;
  /** Whether the plugin sends numbers as text. */
  readonly numericAsText: boolean;
  /** How many tables one target transaction may lock. */
  readonly tablesPerBatch: number;
  /** The loop of the previous lease, to continue; unset when the stream was just opened. */
  readonly loop?: StreamLoop;
  /**
   * Whether all tables were compared at the start of this lease or since then. If not, the next lease must start with a drift
   * check. Called when the lease is over.
   */
  readonly checked: () => boolean;
  /** Whether the caller can keep the stream open until the next lease. */
  readonly mayStayOpen: boolean;
}

export interface EndedLease {
  readonly report: StreamReport;
  /** What the next lease can continue with; null when the slot was released. */
  readonly open: {
    readonly loop: StreamLoop;
    readonly attempt: Attempt;
    readonly barrier: Barrier | null;
  } | null;
  /** It ended at an anchor, before its time: the stream starts again from the checkpoint. */
  readonly again: boolean;
}
