/** Readiness as it follows from the state: from measured facts, and from what the workflow knows itself. Pure. */
import { isFenced } from '../../contract/cutover.ts';
import type { CutoverOrder } from '../../contract/cutover-request.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Known, Readiness } from '../../contract/readiness.ts';
import { judge } from '../../contract/readiness-judge.ts';
import type { State } from './state.ts';

/**
 * As of the newest facts; undefined before the first.
 * @param order of the cutover that is asked for; otherwise that of the input.
 */
export function readinessOf(
  state: State,
  input: MigrationInput,
  order: Pick<CutoverOrder, 'compare' | 'maxDowntimeSeconds'> = input.cutover,
): Readiness | undefined {
  if (state.readiness === undefined) return undefined;
  const { facts, at } = state.readiness;
  return judge(facts, knownOf(state, input, order, at), at, state.accepted);
}

function knownOf(
  { consistent, constraintsBuilt, stream, snapshot, definitions, wayBack, ...state }: State,
  input: MigrationInput,
  { compare, maxDowntimeSeconds }: Pick<CutoverOrder, 'compare' | 'maxDowntimeSeconds'>,
  at: string,
): Known {
  const { opened = false, failed = null } = wayBack ?? {};
  return {
    ...{ consistent, constraintsBuilt, lagSeconds: stream?.lagSeconds ?? 0 },
    verification: { wanted: input.verify !== 'off', last: lastOf(state, at) },
    ...(definitions ? { definitions: definitions.report } : {}),
    ...(isFenced(input) ? { maxDowntimeSeconds } : {}),
    counted: compare === 'off' ? null : (snapshot?.estimatedRows ?? null),
    ...(input.switchback === undefined ? {} : { wayBack: { opened, why: failed } }),
  };
}

/** The last verification that still says something about the rows. @param at of the facts. */
function lastOf({ verification }: Pick<State, 'verification'>, at: string): LastVerification {
  if (!verification?.last || verification.outdated) return null;
  const { last } = verification;
  const ageSeconds = Math.max(0, (Date.parse(at) - Date.parse(last.at)) / 1000);
  return { result: last.report.result, ageSeconds };
}

type LastVerification = NonNullable<Known['verification']>['last'];
