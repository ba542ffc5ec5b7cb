/**
 * What passes between the workflow and the steps of a verification (postgres/verification). Small, flat JSON: counts, names of
 * tables and positions; never a key or a value of a row. The report is part of the workflow's carried state.
 */
import * as v from 'valibot';
import { isLsn, type Lsn } from './lsn.ts';

/** Tables named in a report: it is part of the workflow's history. */
export const MOST_DIFFERING_TABLES = 20;
/** Columns named in a report that cannot be compared. */
export const MOST_NOT_COMPARED = 20;
/** Keys stored for one table; further ones are only counted. */
export const MOST_DIFFERENT_KEYS = 1_000;

/** Consecutive pieces that one `comparePieces` activity compares. */
export interface VerificationRun {
  /** Unique within the verification: activity id and log field. */
  readonly id: string;
  /** Label of the timeline: `public.orders 3/12`, or `42 small tables 1/2`. */
  readonly label: string;
  /** First and last piece, both included. */
  readonly firstPiece: number;
  readonly lastPiece: number;
}

/** What is left to compare under the live anchor. Without runs, every table has been compared. */
export interface VerificationPlan {
  readonly runs: readonly VerificationRun[];
  /** How many `comparePieces` may run at once: from the plan, so that replay does not depend on a default. */
  readonly parallelism: number;
  /** Tables of the verification, and those of them whose both sides are summed up. */
  readonly tables: number;
  readonly tablesDone: number;
  /** Pieces of both sides, and the finished ones; those of a table that takes another anchor count again. */
  readonly pieces: number;
  readonly done: number;
}

export interface VerificationRunReport {
  /** Pieces that this attempt finished. */
  readonly pieces: number;
  /** Rows that were read, on both sides together. */
  readonly rows: number;
  /** Bytes of blocks that were read, including TOAST, from the sizes of the tables. */
  readonly bytes: number;
}

/** How the owner of an anchor ended. */
export interface AnchorHoldReport {
  /** A plan found nothing left to compare; otherwise its slice ended or it was cancelled. */
  readonly nothingLeft: boolean;
}

export interface RepairReport {
  /** Rows that were inserted, replaced or deleted on the target. */
  readonly rows: number;
  readonly tables: number;
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const moment = v.pipe(v.string(), v.isoTimestamp());

export const VERIFICATION_RESULTS = [
  /** Every row of every table was the same on both sides at one state. */
  'equal',
  /** Rows differ, at two anchors. */
  'different',
  /** Something was not compared: a table that is not ready, or one that changed its definition. */
  'incomplete',
] as const;
export const verificationResult = v.picklist(VERIFICATION_RESULTS);
export type VerificationResult = v.InferOutput<typeof verificationResult>;

/** The result of a verification. */
export const verificationReport = v.pipe(
  v.object({
    id: v.string(),
    startedAt: moment,
    endedAt: moment,
    seconds: v.pipe(v.number(), v.minValue(0)),
    result: verificationResult,
    tables: count,
    /** Of the source. */
    rows: count,
    /** Bytes of blocks of the source, including TOAST. */
    bytes: count,
    /** Anchors that tables were compared at. */
    anchors: count,
    /** Of the newest anchor. */
    lsn: v.custom<Lsn>(isLsn),
    /** Bounded to {@link MOST_DIFFERING_TABLES}. */
    differing: v.pipe(
      v.array(
        v.pipe(
          v.object({
            table: v.string(),
            /** Keys that are missing, extra or different at two anchors. */
            keys: count,
            /** Only {@link MOST_DIFFERENT_KEYS} of them are stored. */
            more: v.boolean(),
          }),
          v.readonly(),
        ),
      ),
      v.readonly(),
    ),
    /** `schema.table.column: reason` or `schema.table: reason`, bounded to {@link MOST_NOT_COMPARED}. */
    notCompared: v.pipe(v.array(v.string()), v.readonly()),
  }),
  v.readonly(),
);
export type VerificationReport = v.InferOutput<typeof verificationReport>;
