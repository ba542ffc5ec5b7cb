/**
 * The answer of the `progress` query, for the CLI, the Web UI, `walferry watch` and scripts. The types come from one
 * schema, which checks every answer that is read, and the same counters in the state of an earlier run.
 */
import * as v from 'valibot';
import { approval } from './approval.ts';
import { shownRequest } from './cutover-request.ts';
import { comparedDefinitions } from './definition.ts';
import { keptChange } from './fence-change.ts';
import { isFailureCode, type FailureCode } from './failure-catalogue.ts';
import { guardReport } from './guard.ts';
import { shownLimits } from './limits.ts';
import { isLsn, type Lsn } from './lsn.ts';
import { readiness } from './readiness.ts';
import { tableCounts, unreadyTables } from './table-state.ts';
import { verificationState, verifyMode } from './verification-state.ts';
import { cutoverWindow } from './window.ts';

/** In their order; the last three are ends. */
export const PHASES = [
  'preflight',
  'schema',
  'snapshot',
  'indexes',
  'stream',
  'cutover',
  'reverse',
  'done',
  'failed',
  'aborted',
] as const;
export type Phase = (typeof PHASES)[number];

export const phase = v.picklist(PHASES);
/** When each phase began, ISO 8601, in workflow time. */
export const startedAt = v.record(phase, v.string());
export const confirmedLsn = v.nullable(v.custom<Lsn>(isLsn));
export const notes: v.GenericSchema<readonly string[]> = v.array(v.string());
const failureCode = v.custom<FailureCode>(isFailureCode);

const runState = v.picklist(['running', 'paused', 'waiting']);
export type RunState = v.InferOutput<typeof runState>;

/** Why a migration waits for its operator. */
export const waiting = v.pipe(
  v.object({
    /** The step that runs again at `resume`. */
    step: v.string(),
    code: failureCode,
    reason: v.string(),
    action: v.string(),
  }),
  v.readonly(),
);
export type Waiting = v.InferOutput<typeof waiting>;

/** A wait for a free place on a worker. Sent by signal, which anyone may send. */
export const placeWait = v.pipe(
  v.object({
    /** ISO 8601, by the clock of the Temporal server. */
    since: v.pipe(v.string(), v.isoTimestamp()),
    reason: v.pipe(v.string(), v.maxLength(300)),
  }),
  v.readonly(),
);
export type PlaceWait = v.InferOutput<typeof placeWait>;

/** The current step of a cutover, and what keeps it from proceeding. */
export const cutoverStep = v.pipe(
  v.object({
    step: v.string(),
    /** When it began, ISO 8601, in workflow time. */
    since: v.string(),
    /** Set while its tries fail for a reason that may pass; it keeps retrying. */
    failing: v.nullable(
      v.pipe(
        v.object({
          code: failureCode,
          reason: v.string(),
          action: v.string(),
          /** When the first and the newest failure became known here, ISO 8601. */
          since: v.string(),
          seen: v.string(),
        }),
        v.readonly(),
      ),
    ),
  }),
  v.readonly(),
);

/** A cutover whose writes are stopped, within its box. Times are ISO 8601. */
export const cutoverBox = v.pipe(
  v.object({
    cutover: v.string(),
    /** When the box began, in workflow time: the writes stop at most this early. */
    since: v.string(),
    /**
     * When the source gives the writes back by itself, by its own clock; null until it is known, once it is sealed, and where
     * nothing gives back all that the fence has taken.
     */
    deadline: v.nullable(v.string()),
    /** Steps that have ended, in their order, and how long each took. */
    spent: v.pipe(
      v.array(v.pipe(v.object({ step: v.string(), seconds: v.number() }), v.readonly())),
      v.readonly(),
    ),
  }),
  v.readonly(),
);
export type CutoverBox = v.InferOutput<typeof cutoverBox>;

/** Counters of phase `snapshot`. */
export const snapshotCounters = v.pipe(
  v.object({
    pass: v.number(),
    tables: v.number(),
    chunksDone: v.number(),
    chunksTotal: v.number(),
    /** Rows and bytes of the chunks that are done. */
    rows: v.number(),
    bytes: v.number(),
    /** Estimate over all tables, from pages and statistics of the source. */
    estimatedRows: v.number(),
    estimatedBytes: v.number(),
  }),
  v.readonly(),
);
export type SnapshotCounters = v.InferOutput<typeof snapshotCounters>;

/**
 * Counters of phase `indexes`. A number is null until the step that reports it has ended; while the step runs, its
 * heartbeats have the live number. All 0 when the operator had created the tables, with their indexes.
 */
export const indexCounters = v.pipe(
  v.object({
    /** Indexes, keys, checks and statistics objects that are built after the rows. */
    indexesBuilt: v.nullable(v.number()),
    indexesTotal: v.nullable(v.number()),
    tablesAnalyzed: v.nullable(v.number()),
    /** Foreign keys, triggers, policies and the like, which wait until the target is consistent. */
    constraintsBuilt: v.nullable(v.number()),
    constraintsTotal: v.nullable(v.number()),
  }),
  v.readonly(),
);
export type IndexCounters = v.InferOutput<typeof indexCounters>;

/** Counters of phase `stream`. */
export const streamCounters = v.pipe(
  v.object({
    transactions: v.number(),
    changes: v.number(),
    lagBytes: v.number(),
    lagSeconds: v.number(),
    rate: v.number(),
    leases: v.number(),
  }),
  v.readonly(),
);

/** The last report of the source's guard, and when it became known, ISO 8601. */
export const guardState = v.pipe(
  v.object({ ...guardReport.pipe[0].entries, since: v.string() }),
  v.readonly(),
);

const progress = v.pipe(
  v.object({
    phase,
    state: runState,
    waiting: v.nullable(waiting),
    /** Set while the migration waits for a free place on a worker. Absent in answers of earlier code. */
    placeWait: v.exactOptional(v.nullable(placeWait)),
    /** Only in phase `cutover`. */
    cutover: v.exactOptional(v.nullable(cutoverStep)),
    /** Only while a cutover has stopped the writes. Absent in answers of earlier code. */
    box: v.exactOptional(cutoverBox),
    /** A cutover that was asked for and waits: for its window, or for approval. */
    request: v.exactOptional(shownRequest),
    /** In which a cutover may begin. Absent: at any time. */
    window: v.exactOptional(cutoverWindow),
    /** Whether a cutover needs an approval that was not given yet. Absent: it needs none. */
    approval: v.exactOptional(v.picklist(['missing', 'given'])),
    approvals: v.exactOptional(v.pipe(v.array(approval), v.readonly())),
    /** What a fence has changed on a database and not given back yet. Absent: nothing, and in answers of earlier code. */
    fenceChanges: v.exactOptional(v.pipe(v.array(keptChange), v.readonly())),
    source: v.string(),
    target: v.string(),
    slot: v.string(),
    /** Floor: everything committed before it is on the target. Live numbers are in the heartbeats. */
    confirmedLsn,
    snapshot: v.nullable(snapshotCounters),
    /** Number of tables per state. Absent before the first plan of the copy, and in answers of earlier code. */
    tables: v.exactOptional(tableCounts),
    /** The first tables that are not ready. */
    unready: v.exactOptional(unreadyTables),
    /** Absent until the schema was copied, and in answers of earlier code. */
    indexes: v.exactOptional(indexCounters),
    stream: v.nullable(streamCounters),
    /** In force, or about to be: see `notes`. Absent in answers of earlier code. */
    limits: v.exactOptional(shownLimits),
    /** What differs beside rows, by the newest comparison. Absent before the first, and in answers of earlier code. */
    definitions: v.exactOptional(comparedDefinitions),
    /** Whether a cutover could begin now. Absent before the first lease, and in answers of earlier code. */
    readiness: v.exactOptional(readiness),
    /** What any call for a cutover or a rehearsal has accepted so far, by code. */
    accepted: v.exactOptional(v.pipe(v.array(v.string()), v.readonly())),
    /** Only while rows are copied under a guard; live numbers are in the heartbeat of `holdSnapshot`. */
    guard: v.exactOptional(v.nullable(guardState)),
    /** When rows are compared without being asked. Absent in answers of earlier code. */
    verify: v.exactOptional(verifyMode),
    /** Absent before the first verification, and in answers of earlier code. */
    verification: v.exactOptional(verificationState),
    startedAt: v.pipe(startedAt, v.readonly()),
    /** When the numbers were last current, ISO 8601: the workflow gets them from activities that ended. */
    asOf: v.exactOptional(v.string()),
    /** Warnings of preflight, and problems of work that continues. */
    notes: v.exactOptional(notes),
  }),
  v.readonly(),
);
export type Progress = v.InferOutput<typeof progress>;

/**
 * Reads an answer of the query `progress`. Unknown fields are dropped.
 * @throws Error naming the first field that does not match: the worker has another version.
 */
export function parseProgress(answer: unknown): Progress {
  const result = v.safeParse(progress, answer);
  if (result.success) return result.output;
  const field = v.getDotPath(result.issues[0]) ?? 'the whole answer';
  throw new Error(`this version cannot read the answer of "progress": ${field}`);
}
