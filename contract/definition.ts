/** What the comparison of definitions returns: in which objects the target differs from the source, and what to run there. */
import * as v from 'valibot';

/** Without what depends on the moment: as a history may keep it. */
const shownDifference = v.object({
  /** `public.t: index t_n`, `function app.f(integer)`. */
  object: v.string(),
  /** What differs, as the rest of a sentence: `is on the source only`. */
  what: v.string(),
  /** The target is wrong with it: the application gets an error, another result or another right. Unset: speed, storage, words. */
  wrong: v.exactOptional(v.literal(true)),
});

export const difference = v.pipe(
  v.object({
    ...shownDifference.entries,
    /** SQL to run on the target; unset if there is none to name. */
    run: v.exactOptional(v.string()),
    /** Both versions of PostgreSQL print it in their own words, and the target could not print the source's. */
    notCompared: v.exactOptional(v.literal(true)),
  }),
  v.readonly(),
);
export type Difference = v.InferOutput<typeof difference>;

/**
 * What the workflow keeps. Bounded, and without SQL: bodies of functions and defaults of columns may hold what must not be in a
 * history. `walferry compare --migration` asks both databases for it.
 */
export const definitionReport = v.pipe(
  v.object({
    /** The first ones, those with which the target is wrong before the others. */
    differences: v.pipe(v.array(v.pipe(shownDifference, v.readonly())), v.readonly()),
    /** How many more there are. */
    more: v.number(),
    /** How many there are of those with which the target is wrong. Absent in histories of earlier code. */
    wrong: v.exactOptional(v.number()),
    /** Objects that could not be compared, also bounded. */
    notCompared: v.pipe(v.array(v.string()), v.readonly()),
  }),
  v.readonly(),
);
export type DefinitionReport = v.InferOutput<typeof definitionReport>;

/** The newest comparison, and when the workflow received it: ISO 8601, in workflow time. */
export const comparedDefinitions = v.pipe(
  v.object({ report: definitionReport, at: v.string() }),
  v.readonly(),
);
export type ComparedDefinitions = v.InferOutput<typeof comparedDefinitions>;

const MOST = 30;
/** A function may have a hundred arguments. */
const MOST_NAME = 200;

/** Pure. @param found all of them, in the order in which they are shown. */
export function reportDefinitions(found: readonly Difference[]): DefinitionReport {
  const certain = found.filter(({ notCompared }) => notCompared === undefined);
  const wrong = certain.filter(isWrong);
  const ordered = [...wrong, ...certain.filter((one) => !isWrong(one))];
  return {
    differences: ordered.slice(0, MOST).map(({ object, what, ...one }) => ({
      ...{ object: short(object), what: short(what) },
      ...(isWrong(one) ? { wrong: true as const } : {}),
    })),
    ...{ more: Math.max(0, certain.length - MOST), wrong: wrong.length },
    notCompared: found
      .filter(({ notCompared }) => notCompared === true)
      .slice(0, MOST)
      .map(({ object }) => short(object)),
  };
}

export const isWrong = ({ wrong }: Pick<Difference, 'wrong'>): boolean => wrong === true;

const short = (text: string): string =>
  text.length <= MOST_NAME ? text : `${text.slice(0, MOST_NAME - 1)}…`;

/** How many differences there are. */
export const countDifferences = ({ differences, more }: DefinitionReport): number =>
  differences.length + more;

/** `public.t: index t_n is on the source only` */
export function wordDifference({ object, what }: Pick<Difference, 'object' | 'what'>): string {
  return `${object} ${what}`;
}

/** One sentence each, and how many more there are: for summaries. */
export function definitionLines({ differences, more }: DefinitionReport): string[] {
  return [...differences.map(wordDifference), ...(more > 0 ? [`and ${more} more`] : [])];
}
