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

/**
 * What becomes of a materialized view that shows other rows, or none: the cutover refreshes it (`later`), or it stays as it is (`stays`).
 * `unknown`: it was not compared.
 */
const VIEW_STATES = ['later', 'stays', 'unknown'] as const;

export const difference = v.pipe(
  v.object({
    ...shownDifference.entries,
    /** SQL to run on the target; unset if there is none to name. */
    run: v.exactOptional(v.string()),
    /** Both versions of PostgreSQL print it in their own words, and the target could not print the source's. */
    notCompared: v.exactOptional(v.literal(true)),
    /** About the contents of a materialized view, which are no definition. */
    contents: v.exactOptional(v.picklist(VIEW_STATES)),
  }),
  v.readonly(),
);
export type Difference = v.InferOutput<typeof difference>;

/** What was found in materialized views that both sides have. */
export interface ViewContents {
  /** How many show the same rows on both sides. */
  readonly equal: number;
  /** Each with `contents`. */
  readonly found: readonly Difference[];
}

/** The same as a history may keep it. */
const viewReport = v.pipe(
  v.object({
    equal: v.number(),
    /** The first ones, those that the cutover does not refresh before the others. */
    found: v.pipe(
      v.array(
        v.pipe(
          v.object({ object: v.string(), what: v.string(), state: v.picklist(VIEW_STATES) }),
          v.readonly(),
        ),
      ),
      v.readonly(),
    ),
    more: v.number(),
  }),
  v.readonly(),
);
type ViewReport = v.InferOutput<typeof viewReport>;

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
    /** Contents of materialized views, as the last verification compared them. Absent: none did. */
    views: v.exactOptional(viewReport),
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

const VIEW_STATES_SHOWN = ['stays', 'unknown', 'later'] as const;
const MOST = 30;
/** A function may have a hundred arguments. */
const MOST_NAME = 200;

/** Pure. @param found all of them, in the order in which they are shown. @param views unset: their contents were not compared. */
export function reportDefinitions(
  found: readonly Difference[],
  views: ViewContents | null = null,
): DefinitionReport {
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
    ...(views === null ? {} : { views: reportViews(views) }),
  };
}

function reportViews({ equal, found }: ViewContents): ViewReport {
  const all = found.map(({ object, what, contents: state = 'unknown' }) => ({
    ...{ object: short(object), what: short(what), state },
  }));
  const ordered = VIEW_STATES_SHOWN.flatMap((state) => all.filter((one) => one.state === state));
  return { equal, found: ordered.slice(0, MOST), more: Math.max(0, ordered.length - MOST) };
}

/** Views that show other rows than on the source, and that the cutover does not refresh: for the operator. */
export function staleViews({ views }: DefinitionReport): string[] {
  return views?.found.filter(({ state }) => state === 'stays').map(wordDifference) ?? [];
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
export function definitionLines(report: DefinitionReport): string[] {
  const { differences, more } = report;
  return [
    ...differences.map(wordDifference),
    ...(more > 0 ? [`and ${more} more`] : []),
    ...staleViews(report),
  ];
}
