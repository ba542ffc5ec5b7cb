/** What the target will not have, in words: for the notes while the migration runs and for its closing summary. Pure. */
import type { LeftOut, MigrationSummary } from '../contract/work.ts';

/** A sentence has to be read: the rest of the names is in the result's list and in the worker's log. */
const SHOWN = 20;

/** One sentence for each reason; none when nothing was left out. */
export function leftOutSentences(leftOut: LeftOut | undefined): string[] {
  if (!leftOut) return [];
  const { excluded, never, more } = leftOut;
  return [
    ...sentence('Left out with the excluded tables that they stand on', excluded),
    ...sentence('Never carried over, to be made by hand where wanted', never),
    ...(more > 0 ? [`${more} more objects are left out; the worker's log names them.`] : []),
  ];
}

function sentence(why: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  return [`${why}: ${names.slice(0, SHOWN).join(', ')}${more}.`];
}

/** For the workflow's result. */
export function leftOutNames(leftOut: LeftOut | undefined): Pick<MigrationSummary, 'leftOut'> {
  return leftOut ? { leftOut: [...leftOut.excluded, ...leftOut.never] } : {};
}
