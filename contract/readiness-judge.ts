/** Judges readiness. Pure: the workflow judges, an activity measures. */
import { isWrong, staleViews, wordDifference } from './definition.ts';
import { downtimeParts, downtimeSeconds, wordDowntime } from './downtime.ts';
import { listed } from './listed.ts';
import type {
  Known,
  KnownVerification,
  Readiness,
  ReadinessFacts,
  ReadinessFinding,
} from './readiness.ts';
import { READINESS, type ReadinessCode } from './readiness-finding.ts';

const SHOWN = 5;
const LONG_WRITER_SECONDS = 10;
const DAY_SECONDS = 86_400;
/** The same as the default size of a WAL segment times 64: a minute of a busy source. */
const LITTLE_BYTES = 1_073_741_824;
/** A cutover with a fence catches up before it stops the writes: then a drain takes no longer than this. */
const CAUGHT_UP_SECONDS = 2;

/**
 * The lag counts as the time that its changes took to arrive: a stream that keeps up applies them at least as fast. What a cutover
 * without a fence builds and refreshes is not part of it.
 */
function estimateOf(facts: ReadinessFacts, known: Known) {
  const { writer, fence, sequences = 0, triggers = 0 } = facts;
  const { lagSeconds, checks = null } = known;
  const by = writer === null || writer.application === '' ? '' : ` (${writer.application})`;
  return downtimeParts({
    writer: writer && { who: `process ${writer.pid}${by}`, seconds: writer.seconds },
    ...(fence === undefined
      ? { drains: 1, drainSeconds: lagSeconds }
      : { drains: 2, drainSeconds: Math.min(lagSeconds, CAUGHT_UP_SECONDS) }),
    ...{ checks, sequences, triggers },
  });
}

/** @param accepted codes of findings that the cutover accepts for which this is judged. @param asOf of the facts. */
export function judge(
  facts: ReadinessFacts,
  known: Known,
  asOf: string,
  accepted: readonly string[] = [],
): Readiness {
  const estimate = estimateOf(facts, known);
  const findings = [
    ...ofSlot(facts),
    ...ofTarget(facts, known),
    ...ofDefinitions(known),
    ...ofFence(facts),
    ...ofWayBack(facts, known),
    ...ofDowntime(facts, known),
    ...ofWriters(facts),
    ...(known.verification ? verificationFindings(known.verification) : []),
  ];
  const shown = findings.map(({ code }) => code).filter((code) => accepted.includes(code));
  return {
    ready: findings.every(({ level, code }) => level === 'warns' || accepted.includes(code)),
    findings,
    ...(shown.length > 0 ? { accepted: shown } : {}),
    ...{ estimateSeconds: downtimeSeconds(estimate), estimate },
    ...{ heldBytes: facts.slot?.heldBytes ?? null, walBytes: facts.walBytes },
    lagBytes: facts.lagBytes,
    ...(facts.fence === undefined ? {} : { fence: facts.fence.kind }),
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
  const { consistent, constraintsBuilt } = known;
  const unfinished = consistent
    ? 'foreign keys and triggers are not built'
    : 'the target is not consistent';
  return [
    ...named('index-invalid', invalidIndexes, 'not valid on the target'),
    ...named('sequence-unreadable', unreadableSequences, 'not readable on the source'),
    ...(consistent && constraintsBuilt ? [] : [finding('not-consistent', `${unfinished} yet`)]),
    ...named('not-analyzed', unanalyzed, 'without statistics on the target'),
  ];
}

function ofDefinitions({ definitions }: Known): ReadinessFinding[] {
  if (definitions === undefined) return [];
  const { differences, more, wrong = 0 } = definitions;
  const others = differences.length + more - wrong;
  const stale = staleViews(definitions);
  const said = (is: boolean, total: number): string => {
    const some = differences.filter((one) => isWrong(one) === is).map(wordDifference);
    return listed(some, SHOWN, '; ', total);
  };
  const other = [
    ...(others > 0 ? [said(false, others)] : []),
    ...(stale.length > 0 ? [listed(stale, SHOWN, '; ')] : []),
  ];
  return [
    ...(wrong > 0 ? [finding('definition-differs', said(true, wrong))] : []),
    ...(other.length > 0 ? [finding('definition-other', other.join('; '))] : []),
  ];
}

function ofFence({ fence }: ReadinessFacts): ReadinessFinding[] {
  if (fence === undefined) return [];
  const { kind, open, passes } = fence;
  return [
    ...(open.length > 0
      ? [finding('fence-open', `the fence "${kind}" leaves the source open: ${open.join('; ')}`)]
      : []),
    ...(passes.length > 0
      ? [finding('fence-passes', `past the fence "${kind}": ${passes.join('; ')}`)]
      : []),
  ];
}

function ofWayBack({ wayBack: slot }: ReadinessFacts, { wayBack }: Known): ReadinessFinding[] {
  if (wayBack === undefined) return [];
  const { opened, why } = wayBack;
  if (opened && slot === null) {
    return [finding('no-way-back', 'the slot of the way back is missing on the target')];
  }
  if (opened && slot === 'lost') {
    return [finding('no-way-back', 'the target has removed WAL that the way back needs')];
  }
  return why === null ? [] : [finding('no-way-back', why)];
}

/**
 * Without the checks of rows: they are a guess, or as old as the last cutover that measured them, and a cutover that is refused here
 * never measures them again. It judges its own measurement before it stops a write.
 */
function ofDowntime(facts: ReadinessFacts, known: Known): ReadinessFinding[] {
  const { maxDowntimeSeconds, endsSessions = false } = known;
  // The cutover ends a session that writes, but it cannot end a prepared transaction.
  const waited = endsSessions ? { ...facts, writer: null } : facts;
  const parts = estimateOf(waited, { ...known, checks: null });
  const seconds = downtimeSeconds(parts);
  if (maxDowntimeSeconds === undefined || seconds <= maxDowntimeSeconds) return [];
  return [
    finding(
      'downtime-too-long',
      `about ${seconds} s of downtime besides checking the rows, and ${maxDowntimeSeconds} s are permitted: ${wordDowntime(parts)}`,
    ),
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
