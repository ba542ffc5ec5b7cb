/**
 * How long a cutover would stop the writes, and what of it: readiness shows it, and a cutover with a fence is refused beforehand when it
 * does not fit. Rather too short than too long: what is refused here would not have fitted. Pure.
 */
import * as v from 'valibot';
import { listed } from './listed.ts';

export const downtimePart = v.pipe(
  v.object({
    /** As the beginning of a sentence: `two drains`. */
    what: v.string(),
    seconds: v.number(),
  }),
  v.readonly(),
);
export type DowntimePart = v.InferOutput<typeof downtimePart>;

/** Rows that are counted on both sides; or how long the checks of rows took when they were measured, in seconds. */
export type RowChecks = { readonly rows: number } | { readonly seconds: number };

export interface DowntimeFacts {
  /** The oldest transaction whose end is waited for; null: none is seen. */
  readonly writer: { readonly who: string; readonly seconds: number } | null;
  /** How long the stream needs to catch up with what is written until then. */
  readonly drainSeconds: number;
  /** With a fence it drains twice: before the checks, and after the seal. */
  readonly drains: 1 | 2;
  /** null: rows are not checked. */
  readonly checks: RowChecks | null;
  /** What is set and enabled on the target. */
  readonly sequences: number;
  readonly triggers: number;
}

/** Rows that one session counts in a second, of a table in memory: until the checks are measured in this migration. */
const ROWS_PER_SECOND = 2_000_000;
/** 100,000 took 27 s (docs/explanation/performance.md). */
const SEQUENCES_PER_SECOND = 4_000;
/**
 * One ALTER TABLE and one mark each, one after the other: 1,000 on as many tables took 0.65 to 1.0 s of processor time on both ends of
 * the session together, and 1.3 to 3.0 s on two busy cores (docs/explanation/fence.md).
 */
const TRIGGERS_PER_SECOND = 1_500;
/** Arming, proofs, marks, the check for late writes and the release itself. */
const OWN_SECONDS = 1;

/** What takes time within the downtime, in its order; parts of no length are left out. */
export function downtimeParts(facts: DowntimeFacts): DowntimePart[] {
  const { writer, drainSeconds, drains, checks, sequences, triggers } = facts;
  const parts = [
    { what: `the writes of ${writer?.who ?? 'the application'}`, seconds: writer?.seconds ?? 0 },
    { what: drains === 2 ? 'two drains' : 'the drain', seconds: drains * drainSeconds },
    checking(checks),
    { what: 'setting the sequences', seconds: sequences / SEQUENCES_PER_SECOND },
    { what: 'enabling the triggers', seconds: triggers / TRIGGERS_PER_SECOND },
    { what: 'everything else', seconds: OWN_SECONDS },
  ];
  return parts.filter(({ seconds }) => seconds >= SHORTEST);
}

function checking(checks: RowChecks | null): DowntimePart {
  return checks !== null && 'seconds' in checks
    ? { what: 'checking the rows', seconds: checks.seconds }
    : { what: 'counting the rows', seconds: countingSeconds(checks?.rows ?? 0) };
}

/** How long it takes to count so many rows, as a guess that is rather too short. */
export function countingSeconds(rows: number): number {
  return rows / ROWS_PER_SECOND;
}

/** Shown with one digit. */
const SHORTEST = 0.05;

/** Whole seconds, rounded up. */
export function downtimeSeconds(parts: readonly DowntimePart[]): number {
  return Math.ceil(parts.reduce((sum, { seconds }) => sum + seconds, 0) - ROUNDING);
}

/** Sums of decimal fractions are not exact. */
const ROUNDING = 1e-6;

const SHOWN = 8;

/** `two drains 0.4 s, counting the rows 2.1 s, everything else 1.0 s`. */
export function wordDowntime(parts: readonly DowntimePart[]): string {
  return listed(
    parts.map(({ what, seconds }) => `${what} ${seconds.toFixed(1)} s`),
    SHOWN,
  );
}
