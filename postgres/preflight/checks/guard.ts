/** The guard of the input: whether it can be measured at all, and what it would say now. */
import { guardText, type Measure } from '../../../contract/guard.ts';
import type { Check } from '../facts.ts';
import { error, warning } from '../wording.ts';

/** Views that show a role without the right nothing of the others. */
const OF_OTHERS = new Set<Measure | undefined>([
  'activeSessions',
  'replicaLagBytes',
  'replicaLagSeconds',
]);

export const guard: Check = ({ source, input }) => {
  const facts = source?.guard;
  if (!source || !facts || input.guard === undefined) return [];
  const { looks, failures, seesOthers, replicas } = facts;
  const named = Object.keys(input.guard).find((one) => OF_OTHERS.has(measureOf(one)));
  const lags = input.guard.replicaLagBytes ?? input.guard.replicaLagSeconds;
  return [
    ...(named !== undefined && !seesOthers
      ? [
          error(
            'guard-hidden',
            `the role ${source.role.name} on the source may not see what other sessions do, and "guard" measures ${named}`,
            `On the source: grant pg_read_all_stats to ${source.role.name};`,
          ),
        ]
      : []),
    // Said above, with what to do.
    ...failures
      .filter(({ code }) => !(code === 'Denied' && !seesOthers && named !== undefined))
      .map(({ message, details }) =>
        error(
          'guard',
          `"guard" cannot be measured on the source: ${message}`,
          details.object === 'query'
            ? '"guard.query.sql" has to be one SELECT that returns one number that is not null, within 5 s, read only, with the schema in front of names: search_path is empty.'
            : 'Try it there, or take it out of the input.',
        ),
      ),
    ...looks
      .filter(({ value, ceiling }) => value > ceiling)
      .map((look) =>
        warning(
          'guard-exceeded',
          `the guard would hold the copy now: ${guardText({ ...look, holding: true })}`,
          'Start when the source is less busy, or raise the ceiling.',
        ),
      ),
    ...(lags !== undefined && replicas === 0
      ? [
          warning(
            'guard-no-replica',
            '"guard" measures the lag of replicas, and none is connected to the source',
            'A replica that is not connected counts as one without lag. Is this the right server?',
          ),
        ]
      : []),
  ];
};

function measureOf(name: string): Measure | undefined {
  for (const one of OF_OTHERS) if (one === name) return one;
  return undefined;
}
