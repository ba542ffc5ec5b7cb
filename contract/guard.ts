/** The guard of the source: what is measured there while rows are copied, each with a ceiling, and the result. Pure. */
import * as v from 'valibot';
import { described } from './described.ts';
import { isFailureCode } from './failure-catalogue.ts';

const ceiling = v.pipe(
  v.number('must be a number of at least 0'),
  v.finite('must be a number of at least 0'),
  v.minValue(0, 'must be a number of at least 0'),
);

const MOST_SQL_BYTES = 4_096;

/** `guard` of the input: at least one measure. */
export const guardField = v.optional(
  v.pipe(
    v.strictObject({
      activeSessions: v.optional(
        described(
          ceiling,
          "Hold the copy while more client sessions of the source's server execute something; those of walferry do not count.",
        ),
      ),
      replicaLagBytes: v.optional(
        described(
          ceiling,
          'The same for the WAL that the slowest connected standby has not replayed. Logical consumers do not count.',
        ),
      ),
      replicaLagSeconds: v.optional(
        described(
          ceiling,
          'The same in seconds: `replay_lag`, or the time since its last reply, if it has something to replay.',
        ),
      ),
      query: v.optional(
        v.strictObject({
          sql: described(
            v.pipe(
              v.string('must be a query in quotes'),
              v.regex(/\S/, 'must not be empty'),
              v.maxBytes(MOST_SQL_BYTES, `must have at most ${MOST_SQL_BYTES} bytes`),
            ),
            'The same for a SELECT that returns one number. Names need their schema, because the session has no search path.',
          ),
          ceiling: described(ceiling, 'Its ceiling.'),
        }),
      ),
    }),
    v.check(
      (guard) => Object.values(guard).some((measure) => measure !== undefined),
      'must have at least one of activeSessions, replicaLagBytes, replicaLagSeconds, query',
    ),
  ),
);
export type GuardInput = NonNullable<v.InferOutput<typeof guardField>>;

export const MEASURES = [
  'activeSessions',
  'replicaLagBytes',
  'replicaLagSeconds',
  'query',
] as const;
export type Measure = (typeof MEASURES)[number];

/** The ceilings of a guard, in the order in which they are checked. */
export function ceilingsOf(guard: GuardInput): { measure: Measure; ceiling: number }[] {
  const { activeSessions, replicaLagBytes, replicaLagSeconds, query } = guard;
  const given = { activeSessions, replicaLagBytes, replicaLagSeconds, query: query?.ceiling };
  return MEASURES.flatMap((measure) => {
    const most = given[measure];
    return most === undefined ? [] : [{ measure, ceiling: most }];
  });
}

/** A report of the guard: of several measures the decisive one. */
export const guardReport = v.pipe(
  v.object({
    /** Whether the copy is held back. */
    holding: v.boolean(),
    measure: v.picklist(MEASURES),
    ceiling: v.number(),
    /** Null: it could not be measured. */
    value: v.nullable(v.number()),
    /** Why it could not be measured: a code of the failure catalogue and, where the server gave one, the SQLSTATE. */
    failing: v.exactOptional(
      v.pipe(
        v.object({ code: v.custom<string>(isFailureCode), sqlstate: v.exactOptional(v.string()) }),
        v.readonly(),
      ),
    ),
  }),
  v.readonly(),
);
export type GuardReport = v.InferOutput<typeof guardReport>;

/** The signal with which the measuring step reports a change to the workflow. */
export const GUARD_SIGNAL = 'guard';

/** `activeSessions 63, ceiling 50`, or that it cannot be measured. */
export function guardText({ measure, value, ceiling: most, failing }: GuardReport): string {
  if (value !== null) return `${measure} ${number(value)}, ceiling ${number(most)}`;
  const state = failing?.sqlstate === undefined ? '' : `, SQLSTATE ${failing.sqlstate}`;
  return `${measure} cannot be measured (${failing?.code ?? 'not yet'}${state})`;
}

/** Not with Intl, because a replay must not depend on the locale. */
function number(value: number): string {
  return Number.isInteger(value) ? value.toString() : value.toFixed(2);
}
