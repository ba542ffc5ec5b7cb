/** What people should know while the migration runs: warnings, and problems of work that continues. By where they come from. */
import * as v from 'valibot';
import type { CopyRun } from '../../contract/work.ts';
import type { Reason } from './reason.ts';

const texts = v.pipe(v.array(v.string()), v.readonly());

export const notes = v.pipe(
  v.object({
    /** Warnings of preflight; they stay to the end. */
    preflight: texts,
    /** What the schema left out. */
    leftOut: texts,
    /** Runs of the copy that stopped while others continue. */
    copy: texts,
    /** Why the stream is stopped for a resync. */
    resync: v.nullable(v.string()),
    /** What the cutover found to differ; kept when it was undone. */
    differences: texts,
  }),
  v.readonly(),
);
export type Notes = v.InferOutput<typeof notes>;

export const NO_NOTES: Notes = {
  ...{ preflight: [], leftOut: [], copy: [], resync: null, differences: [] },
};

/** Current Details stay readable; the timeline shows every failure. */
const MOST_COPY_NOTES = 20;
const MOST_DIFFERENCES = 20;

/** In the order in which they arise. */
export function listNotes({ preflight, leftOut, copy, resync, differences }: Notes): string[] {
  return [
    ...preflight,
    ...leftOut,
    ...copy,
    ...(resync === null ? [] : [`the stream is stopped: ${resync}`]),
    ...differences.map((one) => `not as on the source: ${one}`),
  ];
}

/** The newest failures of runs. */
export function addCopyNote(
  earlier: readonly string[],
  { label }: CopyRun,
  reason: Reason,
): string[] {
  const note = `copy of ${label} stopped: ${reason.message} (\`${reason.code}\`); the other runs continue`;
  return [...earlier.slice(1 - MOST_COPY_NOTES), note];
}

export function differenceNotes(differences: readonly string[]): string[] {
  return differences.slice(0, MOST_DIFFERENCES);
}
