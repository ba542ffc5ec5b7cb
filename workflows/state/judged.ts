/** Readiness as it follows from the state: from measured facts, and from what the workflow knows itself. Pure. */
import {
  judge,
  verificationFindings,
  type ReadinessFinding,
  type Known,
  type KnownVerification,
  type Readiness,
} from '../../contract/readiness.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import { NO_VERIFICATION, type VerifyMode } from '../../contract/verification-state.ts';
import type { State } from './state.ts';

/** As of the newest facts; undefined before the first. */
export function readinessOf(
  { readiness, ...state }: State,
  { verify }: Pick<MigrationInput, 'verify'>,
): Readiness | undefined {
  if (readiness === undefined) return undefined;
  const { facts, at } = readiness;
  const verification = verificationKnown(state, verify, at);
  return judge(facts, { ...knownOf(state), verification }, at, state.accepted);
}

/** What verifications say against a cutover now, and is not accepted. @param now ISO 8601. */
export function unverifiedOf(
  state: State,
  { verify }: Pick<MigrationInput, 'verify'>,
  now: string,
): ReadinessFinding[] {
  const { accepted = [] } = state;
  return verificationFindings(verificationKnown(state, verify, now)).filter(
    ({ code, level }) => level === 'blocks' && !accepted.includes(code),
  );
}

/** @param at of the facts. */
function verificationKnown(
  { verification = NO_VERIFICATION }: Pick<State, 'verification'>,
  verify: VerifyMode,
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

function knownOf({
  consistent,
  constraintsBuilt,
  stream,
  notes,
}: Pick<State, 'consistent' | 'constraintsBuilt' | 'stream' | 'notes'>): Known {
  const { lagSeconds = 0 } = stream ?? {};
  return { consistent, constraintsBuilt, lagSeconds, differences: notes.differences.length };
}
