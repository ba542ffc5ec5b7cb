/** What the target will not have, in words: for the notes of a running migration and for its summary. Pure. */
import { listed } from '../contract/listed.ts';
import type { LeftOut, MigrationSummary } from '../contract/work.ts';

/** Names per sentence; the remaining names are in the list of the result. */
const SHOWN = 20;

/** For the summary: one sentence for each reason; none when nothing was left out. */
export function leftOutSentences(leftOut: LeftOut | undefined): string[] {
  if (!leftOut) return [];
  const { excluded, never, accepted = [], unselected = [], unvalidated = [], more } = leftOut;
  return [
    ...sentence('Not selected by the input', unselected),
    ...sentence(STANDING, excluded),
    ...sentence('Not moved, because "ignore" names them', accepted),
    ...sentence('Never moved, create them manually where needed', never),
    ...sentence(
      'Added NOT VALID at the cutover, and validated only if that took seconds (otherwise: alter table … validate constraint …)',
      unvalidated,
    ),
    ...(more > 0 ? [`${more} more objects are left out.`] : []),
  ];
}

/** For the notes: what preflight has not reported already, with its advice. */
export function leftOutNotes(leftOut: LeftOut | undefined): string[] {
  return sentence(STANDING, leftOut?.excluded ?? []);
}

/** Materialized views that the operator excluded from the refresh. */
export function skippedSentence(views: readonly string[]): string[] {
  return sentence('Materialized views that were not refreshed', views);
}

const STANDING = 'Not moved, because they depend on excluded tables or ignored extensions';

function sentence(why: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  return [`${why}: ${listed(names, SHOWN)}.`];
}

/** For the workflow's result. */
export function leftOutNames(leftOut: LeftOut | undefined): Pick<MigrationSummary, 'leftOut'> {
  if (!leftOut) return {};
  const { excluded, never, accepted = [], unselected = [] } = leftOut;
  return { leftOut: [...unselected, ...excluded, ...accepted, ...never] };
}
