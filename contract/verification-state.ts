/**
 * What a migration knows of its verifications: the one that runs, and the newest reports. Part of the workflow's carried state
 * and of the answer of `progress`, so it is small: counts and bounded lists of names. Pure.
 */
import * as v from 'valibot';
import { described } from './described.ts';
import { isFailureCode, type FailureCode } from './failure-catalogue.ts';
import {
  verificationReport,
  type VerificationReport,
  type VerificationResult,
} from './verification.ts';
import { whole } from './whole.ts';

const VERIFY_MODES = ['off', 'before-cutover', 'continuous'] as const;
export const verifyMode = v.picklist(
  VERIFY_MODES,
  'must be "off", "before-cutover" or "continuous"',
);
/** When walferry compares every row without being asked. */
export type VerifyMode = v.InferOutput<typeof verifyMode>;

/** `verify` of the input. */
export const verifyField = v.optional(
  described(
    verifyMode,
    'When every row of every table is compared without being asked: `"before-cutover"` as soon as the target has caught up, and again when the result is a day old or tables were resynced; `"continuous"` one verification after another, with pauses; `"off"` only when you call `verify`.',
  ),
  'before-cutover',
);

/** `verifySliceMinutes` of the input. */
export const verifySliceField = v.optional(
  described(
    whole(1, 1440),
    'Minutes for which a verification reads one state; vacuum is held back on both sides meanwhile. A table must be read on both sides within this time; one that does not fit is named as not compared.',
  ),
  15,
);

/** Hours after which a result is too old to cut over on; `before-cutover` repeats it then. */
export const RESULT_HOLDS_HOURS = 24;

const failureCode = v.custom<FailureCode>(isFailureCode);
/** ISO 8601, in workflow time. */
const time = v.string();

/** A verification that has begun and has no report yet. It is at work only while the migration streams consistently. */
export const runningVerification = v.pipe(
  v.object({
    id: v.string(),
    by: v.picklist(['operator', 'input']),
    /** It repairs what this verification found, instead of comparing everything; null: it compares. */
    repairs: v.nullable(v.string()),
    /** Rows that were repaired. */
    repaired: v.number(),
    since: time,
    /** As of the newest plan, and the pieces that were compared since. Null before the first plan. */
    counters: v.nullable(
      v.pipe(
        v.object({
          tables: v.number(),
          tablesDone: v.number(),
          pieces: v.number(),
          done: v.number(),
        }),
        v.readonly(),
      ),
    ),
    /** Read so far, on both sides together. */
    rows: v.number(),
    bytes: v.number(),
    /** Anchors that were asked for. */
    slices: v.number(),
    /** Why it does not proceed at the moment; it keeps retrying. */
    failing: v.nullable(
      v.pipe(
        v.object({ code: failureCode, reason: v.string(), since: time, seen: time }),
        v.readonly(),
      ),
    ),
  }),
  v.readonly(),
);
export type RunningVerification = v.InferOutput<typeof runningVerification>;

/** A report, and when the workflow received it; a repair later on does not make it younger. */
const received = v.pipe(v.object({ report: verificationReport, at: time }), v.readonly());

export const verificationState = v.pipe(
  v.object({
    running: v.nullable(runningVerification),
    /** The newest one, with what a repair has changed about it. */
    last: v.nullable(received),
    /** Tables were resynced after `last`: their rows are not those that it compared. */
    outdated: v.boolean(),
    /** Why the newest verification or repair ended without a report; null when it has one. */
    failed: v.nullable(
      v.pipe(v.object({ code: failureCode, reason: v.string(), at: time }), v.readonly()),
    ),
  }),
  v.readonly(),
);
export type VerificationState = v.InferOutput<typeof verificationState>;

export const NO_VERIFICATION: VerificationState = {
  ...{ running: null, last: null, outdated: false, failed: null },
};

/** What is known of the whole target: `none` before the first report, `outdated` after a resync. */
export function standingOf({
  last,
  outdated,
}: VerificationState): VerificationResult | 'none' | 'outdated' {
  if (last === null) return 'none';
  return outdated ? 'outdated' : last.report.result;
}

/** The report that names rows which still differ; null: none. */
export function differingReport({ last, outdated }: VerificationState): VerificationReport | null {
  if (last === null || outdated || last.report.differing.length === 0) return null;
  return last.report;
}
