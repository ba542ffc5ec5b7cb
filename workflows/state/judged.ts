/** Readiness as it follows from the state: from measured facts, and from what the workflow knows itself. Pure. */
import { judge, type Known, type Readiness } from '../../contract/readiness.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { State } from './state.ts';

/** As of the newest facts; undefined before the first. */
export function readinessOf(
  { readiness, ...state }: State,
  { verify }: Pick<MigrationInput, 'verify'>,
): Readiness | undefined {
  if (readiness === undefined) return undefined;
  const { facts, at } = readiness;
  const verification = { wanted: verify !== 'off', last: lastOf(state, at) };
  return judge(facts, { ...knownOf(state), verification }, at, state.accepted);
}

/** The last verification that still says something about the rows. @param at of the facts. */
function lastOf({ verification }: Pick<State, 'verification'>, at: string): LastVerification {
  if (!verification?.last || verification.outdated) return null;
  const { last } = verification;
  const ageSeconds = Math.max(0, (Date.parse(at) - Date.parse(last.at)) / 1000);
  return { result: last.report.result, ageSeconds };
}

type LastVerification = NonNullable<Known['verification']>['last'];

function knownOf({
  consistent,
  constraintsBuilt,
  stream,
  notes,
}: Pick<State, 'consistent' | 'constraintsBuilt' | 'stream' | 'notes'>): Known {
  const { lagSeconds = 0 } = stream ?? {};
  return { consistent, constraintsBuilt, lagSeconds, differences: notes.differences.length };
}
