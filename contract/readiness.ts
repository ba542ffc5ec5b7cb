/** Whether a cutover could begin now: what is measured, what is known, and what is said of it. readiness-judge.ts judges. */
import * as v from 'valibot';
import type { DefinitionReport } from './definition.ts';
import { downtimePart, type RowChecks } from './downtime.ts';
import { FENCE_KINDS } from './fence.ts';
import { isReadinessCode, type ReadinessCode } from './readiness-finding.ts';
import type { VerificationResult } from './verification.ts';

const names = v.pipe(v.array(v.string()), v.readonly());

/** What the databases say. Bounded: it is in the workflow's history. Null: it could not be read. */
export const readinessFacts = v.pipe(
  v.object({
    slot: v.nullable(
      v.pipe(
        v.object({
          /** `wal_status`; null on a slot that was never used. */
          status: v.nullable(v.string()),
          /** Bytes of WAL that the slot keeps on the source. */
          heldBytes: v.number(),
          /** Bytes until the slot may lose WAL; null without a limit. */
          safeBytes: v.nullable(v.number()),
        }),
        v.readonly(),
      ),
    ),
    /** Of the source's WAL folder; null where the role may not read it. */
    walBytes: v.nullable(v.number()),
    /** WAL between the source's end and the target's checkpoint. */
    lagBytes: v.number(),
    /** The longest running transaction that has written something, other than ours; with a fence, one that the proof waits for. */
    writer: v.nullable(
      v.pipe(
        v.object({ pid: v.number(), application: v.string(), seconds: v.number() }),
        v.readonly(),
      ),
    ),
    prepared: v.pipe(v.object({ count: v.number(), seconds: v.number() }), v.readonly()),
    invalidIndexes: names,
    unanalyzed: names,
    unreadableSequences: names,
    /** How many of them the cutover sets and enables. Absent in facts of earlier code. */
    sequences: v.exactOptional(v.number()),
    triggers: v.exactOptional(v.number()),
    /** How the writes will be stopped. Absent without a fence, and in facts of earlier code. */
    fence: v.exactOptional(
      v.pipe(
        v.object({
          kind: v.picklist(FENCE_KINDS),
          /** Why it cannot be made, and what writes whatever the fence, each with what to do. */
          open: names,
          /** What else writes in spite of it. */
          passes: names,
        }),
        v.readonly(),
      ),
    ),
    /** `wal_status` of the way back's slot on the target; null: there is none. Absent if it was not asked for. */
    wayBack: v.exactOptional(v.nullable(v.string())),
  }),
  v.readonly(),
);
export type ReadinessFacts = v.InferOutput<typeof readinessFacts>;

/** What the workflow knows itself. What is unset is not part of the migration, and not judged. */
export interface Known {
  readonly consistent: boolean;
  readonly constraintsBuilt: boolean;
  /** Age of the newest applied commit while behind. */
  readonly lagSeconds: number;
  readonly verification?: KnownVerification;
  readonly definitions?: DefinitionReport;
  /** The cutover ends sessions that write, instead of waiting for them. */
  readonly endsSessions?: boolean;
  /** Longest permitted downtime of a cutover with a fence. */
  readonly maxDowntimeSeconds?: number;
  /** Rows that the cutover counts, or how long its checks of rows took when they were measured; null: none. */
  readonly checks?: RowChecks | null;
  /** Whether its slot was made, and why it could not be. */
  readonly wayBack?: { readonly opened: boolean; readonly why: string | null };
}

/** What is known of the verifications of a migration. */
export interface KnownVerification {
  /** Whether the input asks for one before the cutover. */
  readonly wanted: boolean;
  /** The newest report; null: none. */
  readonly last: {
    readonly result: VerificationResult;
    readonly ageSeconds: number;
    /** Tables and columns with the reason. */
    readonly notCompared: readonly string[];
    /** Tables were resynced after it. */
    readonly outdated: boolean;
  } | null;
  readonly running: boolean;
  /** Why the newest one ended without a report; null: it did not. */
  readonly failed: string | null;
}

export const readinessFinding = v.pipe(
  v.object({
    code: v.custom<ReadinessCode>(isReadinessCode),
    level: v.picklist(['blocks', 'warns']),
    text: v.string(),
    action: v.string(),
  }),
  v.readonly(),
);
export type ReadinessFinding = v.InferOutput<typeof readinessFinding>;

export const readiness = v.pipe(
  v.object({
    /** No finding blocks, or each that does is accepted. */
    ready: v.boolean(),
    findings: v.pipe(v.array(readinessFinding), v.readonly()),
    /** Codes of them that the cutover accepts for which it was judged. Absent: none. */
    accepted: v.exactOptional(v.pipe(v.array(v.string()), v.readonly())),
    /** Expected downtime, and what it is made of. */
    estimateSeconds: v.number(),
    estimate: v.exactOptional(v.pipe(v.array(downtimePart), v.readonly())),
    heldBytes: v.nullable(v.number()),
    /** Of the source's WAL folder; null: it may not be read. Absent in answers of earlier code, as is the fence. */
    walBytes: v.exactOptional(v.nullable(v.number())),
    lagBytes: v.number(),
    fence: v.exactOptional(v.picklist(FENCE_KINDS)),
    /** When the facts were measured, ISO 8601. */
    asOf: v.string(),
  }),
  v.readonly(),
);
export type Readiness = v.InferOutput<typeof readiness>;

/** One line for each finding, what blocks first. */
export function wordFindings({
  findings,
  accepted = [],
}: Pick<Readiness, 'findings' | 'accepted'>): string[] {
  const inOrder = [...findings].sort((a, b) => a.level.localeCompare(b.level));
  return inOrder.map(({ code, level, text, action }) => {
    const how = accepted.includes(code) ? 'accepted' : level;
    return `${how} [${code}]: ${text}. ${action}`;
  });
}
