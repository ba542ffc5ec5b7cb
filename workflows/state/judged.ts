/** Readiness as it follows from the state: from measured facts, and from what the workflow knows itself. Pure. */
import { isFenced } from '../../contract/cutover.ts';
import type { CutoverOrder } from '../../contract/cutover-request.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type {
  Known,
  KnownVerification,
  Readiness,
  ReadinessFinding,
} from '../../contract/readiness.ts';
import { judge, verificationFindings } from '../../contract/readiness-judge.ts';
import type { ReadinessCode } from '../../contract/readiness-finding.ts';
import { NO_VERIFICATION } from '../../contract/verification-state.ts';
import type { State } from './state.ts';

/**
 * As of the newest facts; undefined before the first.
 * @param order of the cutover that is asked for; otherwise that of the input.
 * @param accepted by that cutover; otherwise by the one that waits for its window or approval, if any.
 */
export function readinessOf(
  state: State,
  input: MigrationInput,
  order: Pick<CutoverOrder, 'compare' | 'maxDowntimeSeconds'> = input.cutover,
  accepted = state.held?.accept,
): Readiness | undefined {
  if (state.readiness === undefined) return undefined;
  const { facts, at } = state.readiness;
  return judge(facts, knownOf(state, input, order, at), at, accepted);
}

function knownOf(
  { consistent, constraintsBuilt, stream, snapshot, definitions, wayBack, checks, ...state }: State,
  input: MigrationInput,
  { compare, maxDowntimeSeconds }: Pick<CutoverOrder, 'compare' | 'maxDowntimeSeconds'>,
  at: string,
): Known {
  const { opened = false, failed = null } = wayBack ?? {};
  return {
    ...{ consistent, constraintsBuilt, lagSeconds: stream?.lagSeconds ?? 0 },
    verification: verificationKnown(state, input, at),
    ...(definitions ? { definitions: definitions.report } : {}),
    ...(isFenced(input) ? { maxDowntimeSeconds, endsSessions: input.fenceExtras.endSessions } : {}),
    checks: compare === 'off' ? null : (checks ?? { rows: snapshot?.estimatedRows ?? 0 }),
    ...(input.switchback === undefined ? {} : { wayBack: { opened, why: failed } }),
  };
}

/** What verifications say against a cutover now, and it does not accept. @param now ISO 8601. */
export function unverifiedOf(
  state: State,
  input: Pick<MigrationInput, 'verify'>,
  now: string,
  accepted: readonly ReadinessCode[],
): ReadinessFinding[] {
  return verificationFindings(verificationKnown(state, input, now)).filter(
    ({ code, level }) => level === 'blocks' && !accepted.includes(code),
  );
}

/** @param at of the facts. */
function verificationKnown(
  { verification = NO_VERIFICATION }: Pick<State, 'verification'>,
  { verify }: Pick<MigrationInput, 'verify'>,
  at: string,
): KnownVerification {
  const { last, outdated, running, failed } = verification;
  const known = {
    ...{ wanted: verify !== 'off', running: running !== null, failed: failed?.reason ?? null },
  };
  if (last === null) return { ...known, last };
  const { result, notCompared } = last.report;
  const ageSeconds = Math.max(0, (Date.parse(at) - Date.parse(last.at)) / 1000);
  return { ...known, last: { result, notCompared, ageSeconds, outdated } };
}
