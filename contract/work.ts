/**
 * What passes between workflow, activities and postgres/: inputs and results of the steps, heartbeats. Everything is
 * small, flat JSON: it is stored in Temporal's history, which is limited and has many readers. No bigint, no row value.
 */
import * as v from 'valibot';
import type { GuardReport } from './guard.ts';
import type { Lsn } from './lsn.ts';
import type { SnapshotCounters } from './progress.ts';
import type { MigrationRecord } from './record.ts';
import type { TableStates } from './table-state.ts';

/** Flat details of a heartbeat, shown under Pending Activities in the Web UI. */
export type Heartbeat = Readonly<Record<string, string | number | boolean | null>>;

/** Tables named in the result of the check for late writes: it is in the workflow's history. */
export const MOST_LATER_TABLES = 1_000;

/** One call of the update `cutover`: Temporal's ids of the update and of the workflow run that executes it. */
export interface CutoverCall {
  readonly update: string;
  readonly run: string;
}

/** What a long-running step gets from its caller. postgres/ knows nothing of Temporal. */
export interface Work {
  /** Aborted when the step should stop; its reason is rethrown unchanged. */
  readonly signal: AbortSignal;
  /** Reports progress; to be called only on real progress (a stalled step must look stalled). */
  readonly beat: (details: Heartbeat) => void;
  readonly log: Log;
  /**
   * When this attempt was scheduled, milliseconds on the scheduler's clock: it identifies an attempt that a frozen
   * machine starts after a later one took over.
   */
  readonly scheduledAt?: number;
  /** Id of the workflow run that the step belongs to; a reset begins another one. Unset for a call that was not scheduled. */
  readonly run?: string;
  /** Reports the state of the source's guard to the caller while the step works. Rejects when that failed. */
  readonly tell?: (report: GuardReport) => Promise<void>;
  /** The place that the step occupies in its worker; unset where places are not counted. */
  readonly place?: WorkPlace;
}

/** A step that is held back on purpose lends its place to others. */
export interface WorkPlace {
  lend(): void;
  /**
   * Takes a place again. `at once`: even above the limit, for a step that has locks; `in turn`: sends heartbeats while
   * it waits.
   * @throws MigrationError `WorkerFull` after a while, to be retried on another worker; the signal's reason.
   */
  retake(how: 'at once' | 'in turn'): Promise<void>;
}

/** Signal from a worker without a free place to the workflow that waits for one: a `PlaceWait`, or null when that is over. */
export const PLACE_SIGNAL = 'workerPlace';

export interface Log {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
}

export interface SchemaReport {
  /** Whether walferry created the tables, or found them on the target, empty. */
  readonly created: boolean;
  readonly tables: number;
  readonly statements: number;
  /** What is to be built after the rows. Absent in reports of earlier code. */
  readonly later?: { readonly indexes: number; readonly constraints: number };
  /** Unset: nothing was left out. */
  readonly leftOut?: LeftOut;
}

const names = v.pipe(v.array(v.string()), v.readonly());

/** Objects of the source that are not moved, by kind and name; the lists are bounded. Part of the carried state. */
export const leftOut = v.pipe(
  v.object({
    /** They depend on tables or extensions that the input excludes: views, functions, foreign keys, … */
    excluded: names,
    /** Never moved: publications, subscriptions, settings of the database. */
    never: names,
    /**
     * What the input ignores: large objects with their count, rows, extensions, event triggers. Absent in reports of
     * earlier code.
     */
    accepted: v.exactOptional(names),
    /** Tables that are not selected. Absent in reports of earlier code. */
    unselected: v.exactOptional(names),
    /** Check constraints that are added NOT VALID at the cutover. Absent in reports of earlier code. */
    unvalidated: v.exactOptional(names),
    /** How many are not named. */
    more: v.number(),
  }),
  v.readonly(),
);
export type LeftOut = v.InferOutput<typeof leftOut>;

export interface SlotReport {
  readonly slot: string;
  readonly consistentLsn: Lsn;
}

/** How a snapshot owner ended. Absent when it was completed manually, and in reports of earlier code. */
export interface HoldReport {
  /** A plan found nothing left to copy under its snapshot; otherwise it was cancelled. */
  readonly nothingLeft: boolean;
}

/** Consecutive chunks that one `copyChunks` activity copies. */
export interface CopyRun {
  /** Unique within the migration: activity id and log field. */
  readonly id: string;
  /** Label of the timeline: `public.orders 3/12`, or `42 small tables 1/2`. */
  readonly label: string;
  /** First and last chunk id, both included. */
  readonly firstChunk: number;
  readonly lastChunk: number;
}

export interface CopyPlan extends SnapshotCounters {
  readonly runs: readonly CopyRun[];
  /** How many `copyChunks` may run at once: from the plan, so that replay does not depend on a default. */
  readonly parallelism: number;
  /** Unset in plans of earlier code. */
  readonly states?: TableStates;
  /** The maximum, whatever the limits say: so many sessions can lock what one chunk needs. Absent in plans of earlier code. */
  readonly most?: number;
}

export interface CopyResult {
  readonly chunks: number;
  /** Chunks of the run that an earlier attempt had finished already. */
  readonly skipped: number;
  /**
   * Tables skipped because they were rewritten on the source: they need the next snapshot. Unset when the step cannot
   * distinguish them; `skipped` is used instead, which costs a pass when there was no rewrite.
   */
  readonly rewritten?: number;
  readonly rows: number;
  readonly bytes: number;
  /** Of all tables, when the run ended. Unset in results of earlier code. */
  readonly states?: TableStates;
}

export interface IndexReport {
  readonly indexes: number;
  readonly constraints: number;
  /** Objects of every kind that the step builds: on the target now, and in total. Absent in reports of earlier code. */
  readonly built?: number;
  readonly total?: number;
}

export interface AnalyzeReport {
  readonly tables: number;
}

export interface RefreshReport {
  /** Materialized views that were filled. */
  readonly views: number;
  /** Those that the operator excluded (see postgres/schema/refresh-views.ts), with the reason; unset for none. */
  readonly skipped?: readonly string[];
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

/** Histories of earlier code have a number in its place, which has no differences either. */
export interface TriggerReport {
  /** Triggers and rules. */
  readonly enabled: number;
  /** Check constraints that differ from the source; unset: none. */
  readonly differences?: readonly string[];
}

/** The position of the target. */
export interface Checkpoint {
  readonly confirmedLsn: Lsn;
  /** Since the migration began. */
  readonly transactions: number;
  readonly changes: number;
}

export interface StreamReport extends Checkpoint {
  readonly receivedLsn: Lsn;
  /** Source's flush position minus confirmed LSN. */
  readonly lagBytes: number;
  /** Age of the newest applied commit while behind; 0 when nothing is waiting. */
  readonly lagSeconds: number;
  /** Changes applied per second over this lease. */
  readonly rate: number;
  /** Whether the stream has applied everything up to the newest snapshot's position. */
  readonly consistent: boolean;
  /** `until` was given and everything committed before it is applied. */
  readonly reached: boolean;
  /** Of all tables, at the end of the lease. Unset when only the position could be read. */
  readonly states?: TableStates;
}

/** A report with how the lag developed during the lease. */
export interface LeaseReport extends StreamReport {
  /** How the lag developed, at most 24 samples; unset in reports of earlier code, and of a lease without a heartbeat. */
  readonly lag?: readonly {
    /** Seconds before the end of the lease. */
    readonly secondsBefore: number;
    readonly bytes: number;
    readonly seconds: number;
  }[];
}

/** The result of the finished workflow: one sentence to read, and its numbers for scripts. */
export interface MigrationSummary {
  readonly summary: string;
  readonly source: string;
  readonly target: string;
  /** Everything committed on the source before this position is on the target. */
  readonly confirmedLsn: Lsn;
  readonly tables: number;
  /** Rows counted on each side at cutover, or null when comparing was off. */
  readonly rows: number | null;
  readonly copiedRows: number;
  readonly copiedBytes: number;
  readonly sequences: number;
  /** Since the slot was created. */
  readonly transactions: number;
  readonly changes: number;
  readonly seconds: number;
  /** How long the fence of the cutover stopped the writes; unset for a cutover without one. Null: not known. */
  readonly downtimeSeconds?: number | null;
  /** Objects that are missing on the target, as far as they are named; unset for none. See {@link LeftOut}. */
  readonly leftOut?: readonly string[];
  /** Materialized views that the operator excluded from the refresh; unset for none. */
  readonly skippedViews?: readonly string[];
  /** Indexes, constraints, defaults and the like in which the target differs from the source; unset for none. */
  readonly differences?: readonly string[];
  /** How it went, for `walferry report`. Absent in results of earlier code. */
  readonly record?: MigrationRecord;
}
