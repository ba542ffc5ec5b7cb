/**
 * What a migration remembers, across continue-as-new too: small, flat, versioned. The truth about rows, chunks and LSN is in the
 * control schema on the target; this is the workflow's copy of it, and a floor that may lag. Read-only everywhere: only
 * transition.ts makes the next state.
 */
import * as v from 'valibot';
import { approval } from '../../contract/approval.ts';
import { heldCutover } from '../../contract/cutover-request.ts';
import { comparedDefinitions } from '../../contract/definition.ts';
import { FENCE_KINDS, fenceSetting } from '../../contract/fence.ts';
import {
  confirmedLsn,
  guardState,
  indexCounters,
  placeWait,
  snapshotCounters,
  startedAt,
  streamCounters,
} from '../../contract/progress.ts';
import { readinessFacts } from '../../contract/readiness.ts';
import { isReadinessCode, type ReadinessCode } from '../../contract/readiness-finding.ts';
import { limits } from '../../contract/limits.ts';
import { course } from '../../contract/record.ts';
import { tableStates } from '../../contract/table-state.ts';
import { leftOut } from '../../contract/work.ts';
import { verificationState } from '../../contract/verification-state.ts';
import { cutoverWindow } from '../../contract/window.ts';
import { back, wayBack } from './back.ts';
import { reason } from './reason.ts';
import { notes, NO_NOTES } from './notes.ts';
import { stage } from './stage.ts';

const VERSION = 2;

const schema = v.pipe(
  v.object({
    version: v.literal(VERSION),
    stage,
    startedAt: v.pipe(startedAt, v.readonly()),
    /** When the numbers were last current, ISO 8601. */
    asOf: v.string(),
    notes,
    confirmedLsn,
    snapshot: v.nullable(snapshotCounters),
    indexes: v.nullable(indexCounters),
    stream: v.nullable(streamCounters),
    /** As of the last step that reported them. */
    tables: v.exactOptional(tableStates),
    /** Pass of the first copied run; null before it. With a later one, consistency is reached by the stream. */
    firstPass: v.nullable(v.number()),
    consistent: v.boolean(),
    /** Foreign keys and triggers are on the target. Never before the target is consistent. */
    constraintsBuilt: v.boolean(),
    /** A cutover that was undone may have enabled the triggers: they are disabled again before the next change is applied. */
    triggersEnabled: v.boolean(),
    /** What a cleanup has to look for; set before the step that creates it, because the step's answer may be lost. */
    schemaBegun: v.boolean(),
    slotBegun: v.boolean(),
    /** Objects that the target will not have, for the closing summary; null before the schema was copied. */
    leftOut: v.nullable(leftOut),
    /** Materialized views that the operator excluded from the refresh. */
    skippedViews: v.pipe(v.array(v.string()), v.readonly()),
    /** Null until they were changed: then those of the input apply. */
    limits: v.nullable(
      v.pipe(
        v.object({
          values: limits,
          /** Grows with every change. */
          version: v.number(),
          /** The one that is in the control schema. */
          stored: v.number(),
        }),
        v.readonly(),
      ),
    ),
    /** Why changed limits could not be written so far; null: they are, or it was not tried. */
    unstored: v.nullable(reason),
    /** The last attempt to stream or drain ended without a report, and nothing has fenced it off since. */
    unreported: v.boolean(),
    /** Unset: the input asks for none, or the stream has not begun. */
    wayBack: v.exactOptional(wayBack),
    /** How long the checks of a cutover took when they were measured last. */
    checks: v.exactOptional(
      v.pipe(v.object({ seconds: v.number(), at: v.string() }), v.readonly()),
    ),
    /** Set from the switch on, with a way back. */
    back: v.exactOptional(back),
    /** Chosen at the start, when the input names none. Absent: the input's; in migrations that earlier code began, none. */
    fence: v.exactOptional(v.picklist(FENCE_KINDS)),
    /** Values of the source's database before a fence replaced them: for whoever has to restore them by hand. */
    fenceSettings: v.exactOptional(v.pipe(v.array(fenceSetting), v.readonly())),
    /** No worker has a free place for the stream or the copy. */
    placeWait: v.nullable(placeWait),
    /** `off` while no rows are copied under a guard; null before its first report. */
    guard: v.union([v.literal('off'), v.nullable(guardState)]),
    /** Absent before the first verification. */
    verification: v.exactOptional(verificationState),
    /** How it went so far. */
    course: v.exactOptional(course),
    /** Of the input, or of the last `cutover` that gave another one. */
    window: v.exactOptional(cutoverWindow),
    /** The newest ones, also those for another window. */
    approvals: v.exactOptional(v.pipe(v.array(approval), v.readonly())),
    /** A cutover that waits for its window, or for approval. */
    held: v.exactOptional(heldCutover),
    /** Why the last cutover did not begin, or was undone; until the next one. */
    dropped: v.exactOptional(v.string()),
    /** The newest comparison of what both sides have beside rows. Absent before the first, and in states of earlier code. */
    definitions: v.exactOptional(comparedDefinitions),
    /** The newest facts for readiness, and when they were measured. Absent before the first, and in states of earlier code. */
    readiness: v.exactOptional(
      v.pipe(v.object({ facts: readinessFacts, at: v.string() }), v.readonly()),
    ),
    /** What any call has accepted so far, by code: kept for the report. Absent: none. */
    accepted: v.exactOptional(
      v.pipe(v.array(v.custom<ReadinessCode>(isReadinessCode)), v.readonly()),
    ),
  }),
  v.readonly(),
);

export type State = v.InferOutput<typeof schema>;

/** A migration that has done nothing yet. */
export function initialState(now: Date): State {
  return {
    version: VERSION,
    stage: { at: 'preflight' },
    startedAt: { preflight: now.toISOString() },
    asOf: now.toISOString(),
    notes: NO_NOTES,
    ...{ confirmedLsn: null, snapshot: null, indexes: null, stream: null },
    ...{ firstPass: null, consistent: false, constraintsBuilt: false, triggersEnabled: false },
    ...{ schemaBegun: false, slotBegun: false, leftOut: null, skippedViews: [] },
    ...{ limits: null, unstored: null, unreported: false, placeWait: null, guard: 'off' },
  };
}

/** Whether a value is a state that this code knows. */
function isState(value: unknown): value is State {
  return v.is(schema, value);
}

/**
 * The state that the previous run of the workflow passed on. Fields that this code does not know stay in it: a newer worker may
 * take the next run.
 * @throws Error for a state that this code cannot read: the workflow task is then retried until a worker with the right code takes
 *   it, whereas a failure would end a migration because of one old worker.
 */
export function carriedState(carried: unknown): State {
  if (isState(carried)) return carried;
  const [issue] = v.safeParse(schema, carried).issues ?? [];
  const field = (issue && v.getDotPath(issue)) ?? 'the whole state';
  throw new Error(
    `this worker only knows state version ${VERSION} and cannot read the carried state (${field}): run a worker of the version that wrote it, or a newer one`,
  );
}
