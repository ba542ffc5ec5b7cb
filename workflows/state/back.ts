/** What a migration remembers of its way back. */
import * as v from 'valibot';
import { oldDatabase } from '../../contract/finalize.ts';
import { isLsn, type Lsn } from '../../contract/lsn.ts';
import type { MigrationSummary } from '../../contract/work.ts';

const lsn = v.custom<Lsn>(isLsn);

/** Before the switch: whether the slot of the way back is there, and up to where it may be advanced. */
export const wayBack = v.pipe(
  v.object({
    opened: v.boolean(),
    /** From an earlier call, so before every release that begins later; null: none yet. */
    position: v.nullable(lsn),
    /** What the operator should know; null: nothing. */
    note: v.nullable(v.string()),
    /** Why its slot could not be made or advanced the last time. Absent: it could. */
    failed: v.exactOptional(v.string()),
    /** It has to be made again: it was gone or invalidated. Absent in states of earlier code, too. */
    lost: v.exactOptional(v.boolean()),
  }),
  v.readonly(),
);
export type WayBack = v.InferOutput<typeof wayBack>;

export const NO_WAY_BACK: WayBack = { opened: false, position: null, note: null };

/** After the switch: the stages of the stream and of a cutover are about the other direction from then on. */
export const back = v.pipe(
  v.object({
    /** When it ends, ISO 8601, in workflow time. */
    until: v.string(),
    /** What `finalize` was asked to do with the old database; absent: nothing. */
    oldDatabase: v.exactOptional(oldDatabase),
    /** What the cutover achieved: the result of the workflow. */
    summary: v.custom<MigrationSummary>(
      (value) => typeof value === 'object' && value !== null && 'summary' in value,
    ),
  }),
  v.readonly(),
);
export type Back = v.InferOutput<typeof back>;
