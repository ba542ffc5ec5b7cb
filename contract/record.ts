/**
 * What a migration remembers of its course, for `walferry report`: small and bounded, because it is part of the carried state
 * and of the result. It outlives the histories of earlier runs, which the Temporal server removes.
 */
import * as v from 'valibot';
import { approval } from './approval.ts';
import { comparedDefinitions } from './definition.ts';
import { fenceChange } from './fence-change.ts';
import { startedAt } from './progress.ts';
import { cutoverWindow } from './window.ts';

/** Samples kept; above it the worst ones of equal parts of the whole time stay. */
export const MOST_LAG_SAMPLES = 240;
/** Rehearsals and switches back are some of them. */
export const MOST_CUTOVERS = 20;
export const MOST_STEPS = 30;
export const MOST_STOPS = 30;
const MOST_REASON = 400;

/** Reasons name tables and positions, and may be long. */
export const shortReason = (text: string): string =>
  text.length <= MOST_REASON ? text : `${text.slice(0, MOST_REASON - 1)}…`;

const count = v.pipe(v.number(), v.minValue(0));
const moment = v.string();

/** Where the stream stood. */
export const lagSample = v.pipe(
  v.object({ at: moment, bytes: count, seconds: count }),
  v.readonly(),
);
export type LagSample = v.InferOutput<typeof lagSample>;

export const CUTOVER_ENDS = ['done', 'undone', 'cancelled', 'ended'] as const;

/** One cutover, from its beginning to its end. */
export const cutoverRecord = v.pipe(
  v.object({
    at: moment,
    /** Absent: a cutover to the target. */
    kind: v.exactOptional(v.picklist(['rehearsal', 'switchback'])),
    /** When the writes were stopped, at most this early; absent: no write was. */
    stoppedAt: v.exactOptional(moment),
    /**
     * For how long: as the databases measured it when it switched, at most this long otherwise. Null: not known. Absent until it is
     * decided.
     */
    stoppedSeconds: v.exactOptional(v.nullable(count)),
    /**
     * When the writes come back by themselves at the latest, by the workflow's clock. Absent: nothing gives them back, the fence may
     * have been sealed, or they are back.
     */
    returnsBy: v.exactOptional(moment),
    /** Sessions that wrote too long and were ended, as asked for. Absent: none. */
    endedSessions: v.exactOptional(count),
    /** In their order; each lasts until the next begins, or the cutover ends. */
    steps: v.pipe(
      v.array(v.pipe(v.object({ step: v.string(), at: moment }), v.readonly())),
      v.readonly(),
    ),
    /** Absent while it runs. `ended`: the migration ended during it. */
    end: v.exactOptional(
      v.pipe(
        v.object({
          at: moment,
          how: v.picklist(CUTOVER_ENDS),
          code: v.exactOptional(v.string()),
          reason: v.exactOptional(v.string()),
        }),
        v.readonly(),
      ),
    ),
  }),
  v.readonly(),
);
export type CutoverRecord = v.InferOutput<typeof cutoverRecord>;

/** One wait for the operator. */
export const stopRecord = v.pipe(
  v.object({
    at: moment,
    step: v.string(),
    code: v.string(),
    /** When it ended; absent while it waits. */
    until: v.exactOptional(moment),
  }),
  v.readonly(),
);
export type StopRecord = v.InferOutput<typeof stopRecord>;

/** What transitions write down. */
export const course = v.pipe(
  v.object({
    lag: v.pipe(v.array(lagSample), v.readonly()),
    /** The newest ones. */
    cutovers: v.pipe(v.array(cutoverRecord), v.readonly()),
    stops: v.pipe(v.array(stopRecord), v.readonly()),
    /** Copies of tables that changed outside the stream. */
    resyncs: count,
    /** What fences changed besides their own objects. Absent: nothing. */
    fenceChanges: v.exactOptional(v.pipe(v.array(fenceChange), v.readonly())),
  }),
  v.readonly(),
);
export type Course = v.InferOutput<typeof course>;

export const NO_COURSE: Course = { lag: [], cutovers: [], stops: [], resyncs: 0 };

/** The answer of the query `record`, and the field `record` of a result and of a failure's details. */
export const migrationRecord = v.pipe(
  v.object({
    ...course.pipe[0].entries,
    startedAt: v.pipe(startedAt, v.readonly()),
    approvals: v.exactOptional(v.pipe(v.array(approval), v.readonly())),
    window: v.exactOptional(cutoverWindow),
    /** What differed beside rows, by the newest comparison: the last one is that of the cutover. Absent before the first. */
    definitions: v.exactOptional(comparedDefinitions),
    /** Findings of readiness that were accepted, by code. Absent: none. */
    accepted: v.exactOptional(v.pipe(v.array(v.string()), v.readonly())),
    /**
     * What is left on the servers: what could not be removed, and what stays on purpose, such as a sealed fence. With the command
     * that removes it. Absent before the end.
     */
    leftBehind: v.exactOptional(v.pipe(v.array(v.string()), v.readonly())),
  }),
  v.readonly(),
);
export type MigrationRecord = v.InferOutput<typeof migrationRecord>;
