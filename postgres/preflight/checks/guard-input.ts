/** The guard of the input: whether it can be measured, and whether it would hold the copy now. */
import { guardText, type Measure } from '../../../contract/guard.ts';
import { readGuard } from '../facts/measured-guard.ts';
import { defineCheck, raising, refuses, warns } from '../check.ts';

const { codes, error, warning } = raising({
  'guard-hidden': refuses('The role may not see what the guard of the input measures.'),
  guard: refuses(
    'The guard of the input cannot be measured, or its query does not return a single number.',
  ),
  'guard-exceeded': warns('The guard of the input would hold the copy now.'),
  'guard-no-replica': warns('The guard measures the lag of replicas, but none is connected.'),
});

/** Measured in views that hide other roles' sessions without pg_read_all_stats. */
const OF_OTHERS = new Set<Measure | undefined>([
  'activeSessions',
  'replicaLagBytes',
  'replicaLagSeconds',
]);

export const guardInput = defineCheck({
  codes,
  source: {
    guard: async ({ client, input: { guard } }) =>
      guard === undefined ? null : await readGuard(client, guard),
  },
  find: ({ source, input }) => {
    const facts = source?.guard;
    if (!source || !facts || input.guard === undefined) return [];
    const { looks, failures, seesOthers, replicas } = facts;
    const named = Object.keys(input.guard).find((one) => OF_OTHERS.has(measureOf(one)));
    const lags = input.guard.replicaLagBytes ?? input.guard.replicaLagSeconds;
    return [
      named !== undefined &&
        !seesOthers &&
        error(
          'guard-hidden',
          `role ${source.role.name} on the source may not see what other sessions do, but "guard" measures ${named}`,
          `On the source: grant pg_read_all_stats to ${source.role.name};`,
        ),
      // Reported above, with its fix.
      ...failures
        .filter(({ code }) => !(code === 'Denied' && !seesOthers && named !== undefined))
        .map(({ message, details }) =>
          error(
            'guard',
            `"guard" cannot be measured on the source: ${message}`,
            details.object === 'query'
              ? '"guard.query.sql" must be one read-only SELECT that returns one number (not null) within 5 s, with schema-qualified names: search_path is empty.'
              : 'Fix it on the source, or remove it from the input.',
          ),
        ),
      ...looks
        .filter(({ value, ceiling }) => value > ceiling)
        .map((look) =>
          warning(
            'guard-exceeded',
            `the guard would hold the copy now: ${guardText({ ...look, holding: true })}`,
            'Start the migration when the source is less busy, or raise the ceiling.',
          ),
        ),
      lags !== undefined &&
        replicas === 0 &&
        warning(
          'guard-no-replica',
          '"guard" measures the lag of replicas, but none is connected to the source',
          'Check that this is the right server. A replica that is not connected counts as one without lag.',
        ),
    ];
  },
});

function measureOf(name: string): Measure | undefined {
  for (const one of OF_OTHERS) if (one === name) return one;
  return undefined;
}
