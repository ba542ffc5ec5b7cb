/** Whether a cutover could begin now, from measured facts. Pure: the workflow judges, an activity measures. */
import * as v from 'valibot';
import { isReadinessCode, READINESS, type ReadinessCode } from './readiness-finding.ts';
import { listed } from './listed.ts';
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
    /** The longest running transaction that has written something, other than ours. */
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
  readonly differences?: number;
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
    estimateSeconds: v.number(),
    heldBytes: v.nullable(v.number()),
    lagBytes: v.number(),
    /** When the facts were measured, ISO 8601. */
    asOf: v.string(),
  }),
  v.readonly(),
);
export type Readiness = v.InferOutput<typeof readiness>;

const SHOWN = 5;
const LONG_WRITER_SECONDS = 10;
const DAY_SECONDS = 86_400;
/** The same as the default size of a WAL segment times 64: a minute of a busy source. */
const LITTLE_BYTES = 1_073_741_824;
/** Proof, marks and the release transaction. */
const OWN_SECONDS = 1;

/**
 * Longest writer, plus lag, plus a second; the checks of a cutover are not part of it. The lag counts as the time that its changes took to arrive: a stream that keeps
 * up applies them at least as fast.
 */
export function estimateSeconds(facts: ReadinessFacts, known: Known): number {
  return Math.ceil((facts.writer?.seconds ?? 0) + known.lagSeconds + OWN_SECONDS);
}

/** @param accepted codes of findings that the operator accepts. @param asOf of the facts. */
export function judge(
  facts: ReadinessFacts,
  known: Known,
  asOf: string,
  accepted: readonly string[] = [],
): Readiness {
  const estimate = estimateSeconds(facts, known);
  const findings = [
    ...ofSlot(facts),
    ...ofTarget(facts, known),
    ...ofWriters(facts),
    ...(known.verification ? verificationFindings(known.verification) : []),
  ];
  return {
    ready: findings.every(({ level, code }) => level === 'warns' || accepted.includes(code)),
    findings,
    estimateSeconds: estimate,
    heldBytes: facts.slot?.heldBytes ?? null,
    lagBytes: facts.lagBytes,
    asOf,
  };
}

function ofSlot({ slot }: ReadinessFacts): ReadinessFinding[] {
  if (slot === null) return [finding('slot-lost', 'the slot is missing on the source')];
  const { status, safeBytes } = slot;
  if (status === 'lost')
    return [finding('slot-lost', 'the source has removed WAL that the slot needs')];
  if (status === 'unreserved') {
    return [
      finding('slot-shrinking', 'the source may remove WAL of the slot at its next checkpoint'),
    ];
  }
  if (safeBytes === null || safeBytes >= LITTLE_BYTES) return [];
  return [
    finding(
      'slot-shrinking',
      `the source keeps ${megabytes(safeBytes)} more for the slot, then it loses WAL`,
    ),
  ];
}

function ofTarget(facts: ReadinessFacts, known: Known): ReadinessFinding[] {
  const { invalidIndexes, unanalyzed, unreadableSequences } = facts;
  const { consistent, constraintsBuilt, differences = 0 } = known;
  const unfinished = consistent
    ? 'foreign keys and triggers are not built'
    : 'the target is not consistent';
  return [
    ...named('index-invalid', invalidIndexes, 'not valid on the target'),
    ...named('sequence-unreadable', unreadableSequences, 'not readable on the source'),
    ...(differences === 0
      ? []
      : [
          finding(
            'definitions-differ',
            `${differences} ${differences === 1 ? 'object differs' : 'objects differ'}`,
          ),
        ]),
    ...(consistent && constraintsBuilt ? [] : [finding('not-consistent', `${unfinished} yet`)]),
    ...named('not-analyzed', unanalyzed, 'without statistics on the target'),
  ];
}

function ofWriters({ writer, prepared }: ReadinessFacts): ReadinessFinding[] {
  const found: ReadinessFinding[] = [];
  if (writer !== null && writer.seconds > LONG_WRITER_SECONDS) {
    const by = writer.application === '' ? '' : ` (${writer.application})`;
    found.push(
      finding(
        'long-writer',
        `process ${writer.pid}${by} has been writing for ${Math.round(writer.seconds)} s`,
      ),
    );
  }
  if (prepared.count > 0) {
    const one =
      prepared.count === 1 ? 'one prepared transaction' : `${prepared.count} prepared transactions`;
    found.push(
      finding(
        'prepared-transaction',
        `${one} on the source, the oldest for ${Math.round(prepared.seconds)} s`,
      ),
    );
  }
  return found;
}

/** What verifications say against a cutover, without any measured fact. */
export function verificationFindings(verification: KnownVerification): ReadinessFinding[] {
  const { wanted, last } = verification;
  if (last?.result === 'different' && !last.outdated)
    return [finding('verification-different', 'the last verification found differing rows')];
  const missing = whyMissing(verification);
  if (missing !== null) {
    return [finding(wanted ? 'verification-missing' : 'verification-off', missing)];
  }
  const { ageSeconds = 0 } = last ?? {};
  if (ageSeconds <= DAY_SECONDS) return [];
  const age = `the last verification is ${Math.round(ageSeconds / 3600)} h old`;
  return [finding(wanted ? 'verification-old' : 'verification-off', age)];
}

/** Why nothing says that everything is equal; null: the last report does. */
function whyMissing({ last, running, failed }: KnownVerification): string | null {
  // A younger one that runs or failed takes nothing away from a report that still holds.
  if (last?.result === 'equal' && !last.outdated) return null;
  const next = running ? ', and the next one has not ended yet' : '';
  if (last?.outdated === true) return `tables were resynced after the last verification${next}`;
  if (last)
    return `the last verification did not compare everything (${listed(last.notCompared, SHOWN)})${next}`;
  if (running) return 'the first verification has not ended yet';
  return failed === null
    ? 'no verification was completed'
    : `the verification ended without a result: ${failed}`;
}

function named(code: ReadinessCode, objects: readonly string[], what: string): ReadinessFinding[] {
  return objects.length === 0 ? [] : [finding(code, `${what}: ${listed(objects, SHOWN)}`)];
}

function finding(code: ReadinessCode, text: string): ReadinessFinding {
  const { level, action } = READINESS[code];
  return { code, level, text, action };
}

function megabytes(bytes: number): string {
  return `${Math.max(0, Math.round(bytes / 1_048_576))} MiB`;
}

/** One line for each finding, what blocks first. */
export function wordFindings(
  { findings }: Pick<Readiness, 'findings'>,
  accepted: readonly string[] = [],
): string[] {
  const inOrder = [...findings].sort((a, b) => a.level.localeCompare(b.level));
  return inOrder.map(({ code, level, text, action }) => {
    const how = accepted.includes(code) ? 'accepted' : level;
    return `${how} [${code}]: ${text}. ${action}`;
  });
}
