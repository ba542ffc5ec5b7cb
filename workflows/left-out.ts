/** What the target will not have, in words: for the notes while the migration runs and for its closing summary. Pure. */
import type { LeftOut, MigrationSummary } from '../contract/work.ts';

/** A sentence has to be read: the rest of the names is in the result's list. */
const SHOWN = 20;

/** All of it, for the closing summary: one sentence for each reason; none when nothing was left out. */
export function leftOutSentences(leftOut: LeftOut | undefined): string[] {
  if (!leftOut) return [];
  const { excluded, never, accepted = [], unselected = [], unvalidated = [], more } = leftOut;
  return [
    ...sentence('Not selected by the input', unselected),
    ...sentence(STANDING, excluded),
    ...sentence('Left behind as the input accepts', accepted),
    ...sentence('Never carried over, to be made by hand where wanted', never),
    ...sentence(
      'Added NOT VALID at the cutover, and validated only if that took seconds (otherwise: alter table … validate constraint …)',
      unvalidated,
    ),
    ...(more > 0 ? [`${more} more objects are left out.`] : []),
  ];
}

/** For the notes: what preflight has not told there already, with its advice. */
export function leftOutNotes(leftOut: LeftOut | undefined): string[] {
  return sentence(STANDING, leftOut?.excluded ?? []);
}

/** Materialized views that the operator took out of the refresh. */
export function skippedSentence(views: readonly string[]): string[] {
  return sentence('Materialized views that were not refreshed', views);
}

const STANDING = 'Left out with the excluded tables or extensions that they stand on';

function sentence(why: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  return [`${why}: ${names.slice(0, SHOWN).join(', ')}${more}.`];
}

/** For the workflow's result. */
export function leftOutNames(leftOut: LeftOut | undefined): Pick<MigrationSummary, 'leftOut'> {
  if (!leftOut) return {};
  const { excluded, never, accepted = [], unselected = [] } = leftOut;
  return { leftOut: [...unselected, ...excluded, ...accepted, ...never] };
}
