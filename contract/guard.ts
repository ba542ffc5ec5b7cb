/**
 * The guard of the source: what is measured there while rows are copied, each with a ceiling, and what became of it. Pure.
 */
import * as v from 'valibot';
import { isFailureCode } from './failure.ts';

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
      /** Sessions of clients that execute something, in all databases of the server; ours do not count. */
      activeSessions: v.optional(ceiling),
      /** Of the connected standby that is furthest behind, in bytes of WAL that it has not replayed. Logical consumers are none. */
      replicaLagBytes: v.optional(ceiling),
      /** The same in seconds: `replay_lag`, or since its last answer, if it has something to replay. */
      replicaLagSeconds: v.optional(ceiling),
      query: v.optional(
        v.strictObject({
          /** A SELECT that returns one number; names with their schema, because the session has no search path. */
          sql: v.pipe(
            v.string('must be a query in quotes'),
            v.regex(/\S/, 'must not be empty'),
            v.maxBytes(MOST_SQL_BYTES, `must have at most ${MOST_SQL_BYTES} bytes`),
          ),
          ceiling,
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

/** The ceilings of a guard, in the order in which they are looked at. */
export function ceilingsOf(guard: GuardInput): { measure: Measure; ceiling: number }[] {
  const { activeSessions, replicaLagBytes, replicaLagSeconds, query } = guard;
  const given = { activeSessions, replicaLagBytes, replicaLagSeconds, query: query?.ceiling };
  return MEASURES.flatMap((measure) => {
    const most = given[measure];
    return most === undefined ? [] : [{ measure, ceiling: most }];
  });
}

/** What the guard says: of several measures the one that counts. */
export const guardReport = v.pipe(
  v.object({
    /** Whether the copy is held. */
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

/** The signal by which the step that measures tells the workflow of a change. */
export const GUARD_SIGNAL = 'guard';

/** `activeSessions 63, ceiling 50`, or that it cannot be measured. */
export function guardText({ measure, value, ceiling: most, failing }: GuardReport): string {
  if (value !== null) return `${measure} ${number(value)}, ceiling ${number(most)}`;
  const state = failing?.sqlstate === undefined ? '' : `, SQLSTATE ${failing.sqlstate}`;
  return `${measure} cannot be measured (${failing?.code ?? 'not yet'}${state})`;
}

/** By hand, because a replay must not depend on the locale. */
function number(value: number): string {
  return Number.isInteger(value) ? value.toString() : value.toFixed(2);
}
