/**
 * What a migration remembers across continue-as-new: small, flat, versioned. The truth about rows, chunks and LSN lies in
 * the control schema on the target; this is the workflow's copy of it, and a floor that may lag.
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
  /** Unset before the schema was copied, and in what earlier versions carried. */
  indexes: v.exactOptional(indexCounters),
  stream: v.nullable(streamCounters),
  /** Generation of the first copied run, and whether a later one was needed: then first consistent is a matter of the stream. */
  firstPass: v.nullable(v.number()),
  consistent: v.boolean(),
  /** Foreign keys and triggers are on the target. Never before it is first consistent. */
  constraintsBuilt: v.boolean(),
  /**
   * A cutover that did not come to its end may have enabled the triggers: they have to be quiet before the next change is
   * applied. Unset in what earlier versions carried.
   */
  triggersEnabled: v.exactOptional(v.boolean()),
  /** What a cleanup has to look for; set before the step that makes it, because that one's answer may be lost. */
  schemaBegun: v.boolean(),
  slotBegun: v.boolean(),
  /** Objects that the target will not have, for the closing summary. Absent in states of earlier code. */
  leftOut: v.exactOptional(leftOut),
  /** Materialized views that the operator took out, for the same. Unset before the first refresh. */
  skippedViews: v.exactOptional(v.pipe(v.array(v.string()), v.readonly())),
  /** Unset until they were changed: then those of the input. */
  limits: v.exactOptional(
    v.pipe(
      v.object({
        values: limits,
        /** Grows with every change. */
        version: v.number(),
        /** The one that stands in the control schema. */
        stored: v.number(),
      }),
      v.readonly(),
    ),
  ),
  /** Why limits are not in force, and why the position of a paused stream is not known: the next run has to say it, too. Unset: as null. */
  unstored: v.exactOptional(v.nullable(reason)),
  unsure: v.exactOptional(v.nullable(reason)),
  /** An attempt to stream ended without a report and was not fenced off. Unset: none did. */
  unreported: v.exactOptional(v.boolean()),
  /** Unset while no rows are copied under a guard. */
  guard: v.exactOptional(v.nullable(guardState)),
});

export type State = v.InferOutput<typeof schema>;

/** A migration that did nothing yet. */
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
 * The state that the previous run of the workflow handed on. Fields that this code does not know stay in it: a newer worker
 * may take the next run.
 * @throws Error for a state that this code does not know: the workflow task is then tried again until a worker with the
 *   right code takes it, whereas a failure would end a migration because of one old worker.
 */
export function carriedState(carried: unknown): State {
  if (v.is(schema, carried)) return { ...carried };
  const [issue] = v.safeParse(schema, carried).issues ?? [];
  const field = (issue && v.getDotPath(issue)) ?? 'the whole of it';
  throw new Error(
    `this worker knows state version ${VERSION} only, and not the carried one (${field}); update it`,
  );
}
