/** Readiness as it follows from the state: from measured facts, and from what the workflow knows itself. Pure. */
import { judge, type Known, type Readiness } from '../../contract/readiness.ts';
import type { State } from './state.ts';

/** As of the newest facts; undefined before the first. */
export function readinessOf({ readiness, ...state }: State): Readiness | undefined {
  if (readiness === undefined) return undefined;
  return judge(readiness.facts, knownOf(state), readiness.at, state.accepted);
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
