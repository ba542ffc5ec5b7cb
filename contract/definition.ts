/** What the comparison of definitions returns: in which objects the target differs from the source, and what to run there. */
import * as v from 'valibot';

export const difference = v.pipe(
  v.object({
    /** `public.t: index t_n`, `function app.f(integer)`. */
    object: v.string(),
    /** What differs, as the rest of a sentence: `is on the source only`. */
    what: v.string(),
    /** SQL to run on the target; unset if there is none to name. */
    run: v.exactOptional(v.string()),
    /** Both versions of PostgreSQL print it in their own words, and the target could not print the source's. */
    notCompared: v.exactOptional(v.literal(true)),
  }),
  v.readonly(),
);
export type Difference = v.InferOutput<typeof difference>;

/** Bounded: it is in the workflow's history. */
export const definitionReport = v.pipe(
  v.object({
    differences: v.pipe(v.array(difference), v.readonly()),
    /** How many more there are. */
    more: v.number(),
    /** Objects that could not be compared, also bounded. */
    notCompared: v.pipe(v.array(v.string()), v.readonly()),
  }),
  v.readonly(),
);
export type DefinitionReport = v.InferOutput<typeof definitionReport>;

const MOST = 50;
/** A function's text may be long; then the object's name must do. */
const MOST_SQL = 1_000;

/** Pure. @param found all of them, in the order in which they are shown. */
export function reportDefinitions(found: readonly Difference[]): DefinitionReport {
  const certain = found.filter(({ notCompared }) => notCompared === undefined);
  return {
    differences: certain.slice(0, MOST).map(({ object, what, run }) => ({
      object,
      what,
      ...(run === undefined || run.length > MOST_SQL ? {} : { run }),
    })),
    more: Math.max(0, certain.length - MOST),
    notCompared: found
      .filter(({ notCompared }) => notCompared === true)
      .slice(0, MOST)
      .map(({ object }) => object),
  };
}

/** `public.t: index t_n is on the source only` */
export function wordDifference({ object, what }: Difference): string {
  return `${object} ${what}`;
}
