/**
 * The state of a table in the copy and the stream, as it is stored on the target and as operators see it.
 * postgres/store/table-state.ts has the moves between the states.
 */
import * as v from 'valibot';

export const TABLE_STATES = [
  /** Not copied yet. */
  'pending',
  /** Has unfinished chunks in its pass. */
  'copying',
  /** All chunks are copied; the stream has not confirmed the LSN of the pass's snapshot yet. */
  'catching-up',
  /** Has every change up to the confirmed LSN. */
  'ready',
  /** Its rows cannot be used: the next pass copies it. Has a reason. */
  'resync',
  /** Not in the snapshot of its pass: the next drift check finds it again, or finds that it is gone. */
  'absent',
  /** Gone on both sides. */
  'dropped',
] as const;
export const tableState = v.picklist(TABLE_STATES);
export type TableState = v.InferOutput<typeof tableState>;

/** Number of tables per state. A state without tables is not listed. */
export const tableCounts = v.pipe(v.record(tableState, v.number()), v.readonly());
export type TableCounts = v.InferOutput<typeof tableCounts>;

/** Tables named in a report: it is part of the workflow's history. */
export const MOST_UNREADY = 10;

/** Tables that are not ready, at most {@link MOST_UNREADY}. */
export const unreadyTables = v.pipe(
  v.array(
    v.pipe(
      v.object({
        table: v.string(),
        state: tableState,
        /** Why it needs a resync. */
        reason: v.exactOptional(v.string()),
      }),
      v.readonly(),
    ),
  ),
  v.readonly(),
);

/** What a step reports of all tables when it ends. */
export const tableStates = v.pipe(
  v.object({ counts: tableCounts, unready: unreadyTables }),
  v.readonly(),
);
export type TableStates = v.InferOutput<typeof tableStates>;

/** How many tables are not ready. A dropped table never will be. */
export function countUnready(counts: TableCounts): number {
  return TABLE_STATES.reduce(
    (sum, state) => sum + (state === 'ready' || state === 'dropped' ? 0 : (counts[state] ?? 0)),
    0,
  );
}
