/**
 * What a migration remembers across continue-as-new: small, flat, versioned. The control schema on the target is
 * authoritative for rows, chunks and LSN; this is the workflow's copy of it, and a floor that may lag.
 */
import * as v from 'valibot';
import { isFailureCode, type FailureCode } from '../contract/failure.ts';
import {
  confirmedLsn,
  guardState,
  indexCounters,
  notes,
  phase,
  snapshotCounters,
  startedAt,
  streamCounters,
} from '../contract/progress.ts';
import { limits } from '../contract/limits.ts';
import { leftOut } from '../contract/work.ts';

const VERSION = 1;

const reason = v.pipe(
  v.object({ code: v.custom<FailureCode>(isFailureCode), message: v.string() }),
  v.readonly(),
);

const schema = v.object({
  version: v.literal(VERSION),
  phase,
  startedAt,
  asOf: v.string(),
  notes,
  paused: v.boolean(),
  confirmedLsn,
  snapshot: v.nullable(snapshotCounters),
  /** Unset before the schema was copied, and in states of earlier code. */
  indexes: v.exactOptional(indexCounters),
  stream: v.nullable(streamCounters),
  /** Pass of the first copied run: after a later pass the target is consistent only once the stream says so. */
  firstPass: v.nullable(v.number()),
  consistent: v.boolean(),
  /** Foreign keys and triggers are on the target. Never before it is consistent. */
  constraintsBuilt: v.boolean(),
  /**
   * An unfinished cutover may have enabled the triggers: they have to be disabled before the next change is applied.
   * Unset in states of earlier code.
   */
  triggersEnabled: v.exactOptional(v.boolean()),
  /** What a cleanup has to remove; set before the step that creates it, because the answer of that step may be lost. */
  schemaBegun: v.boolean(),
  slotBegun: v.boolean(),
  /** Objects that the target will not have, for the summary. Absent in states of earlier code. */
  leftOut: v.exactOptional(leftOut),
  /** Materialized views that the operator excluded, for the summary. Unset before the first refresh. */
  skippedViews: v.exactOptional(v.pipe(v.array(v.string()), v.readonly())),
  /** Unset until they are changed: then those of the input apply. */
  limits: v.exactOptional(
    v.pipe(
      v.object({
        values: limits,
        /** Grows with every change. */
        version: v.number(),
        /** The version that is in the control schema. */
        stored: v.number(),
      }),
      v.readonly(),
    ),
  ),
  /**
   * Why limits are not in force, and why the position of a paused stream is not known: the next run shows it, too.
   * Unset: as null.
   */
  unstored: v.exactOptional(v.nullable(reason)),
  unsure: v.exactOptional(v.nullable(reason)),
  /** An attempt to stream ended without a report and was not fenced off. Unset: there is none. */
  unreported: v.exactOptional(v.boolean()),
  /** Unset while no rows are copied under a guard. */
  guard: v.exactOptional(v.nullable(guardState)),
});

export type State = v.InferOutput<typeof schema>;

/** A migration that has done nothing yet. */
export function initialState(now: Date): State {
  return {
    version: VERSION,
    phase: 'preflight',
    startedAt: { preflight: now.toISOString() },
    asOf: now.toISOString(),
    notes: [],
    paused: false,
    confirmedLsn: null,
    snapshot: null,
    stream: null,
    firstPass: null,
    consistent: false,
    constraintsBuilt: false,
    schemaBegun: false,
    slotBegun: false,
  };
}

/**
 * The state that the previous run of the workflow passed on. Fields that this code does not know stay in it: a newer worker
 * may take the next run.
 * @throws Error for a state that this code does not know: the workflow task is then retried until a worker with the right
 *   code takes it, whereas a failure would end a migration because of one old worker.
 */
export function carriedState(carried: unknown): State {
  if (v.is(schema, carried)) return { ...carried };
  const [issue] = v.safeParse(schema, carried).issues ?? [];
  const field = (issue && v.getDotPath(issue)) ?? 'the whole state';
  throw new Error(
    `this worker only knows state version ${VERSION} and cannot read the carried state (${field}); update the worker`,
  );
}
