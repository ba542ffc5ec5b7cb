/**
 * Which tables an operator's patterns match. Pure. A pattern is `schema.table`; in an unquoted part `*` matches any run of
 * characters and `?` one, a quoted part is literal (for names with dots or stars). Matching is case-sensitive.
 */
import { compileGlob, type Glob } from './glob.ts';

/** Schema-qualified patterns of the workflow input; `exclude` wins. */
export interface Selection {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Partitioned tables whose rows go through the root on the target (row-destination.ts); none by default. */
  readonly viaPartitionRoot?: readonly string[];
  /** Plain tables that may be partitioned on the target: the way back of `viaPartitionRoot`; none by default. */
  readonly mayBeSplit?: readonly string[];
}

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

export interface Matcher {
  includes(table: TableName): boolean;
  excludes(table: TableName): boolean;
}

/** Table names for the schemas that one schema part matches. */
interface Names {
  readonly literal: Set<string>;
  readonly wild: Glob[];
}

const PARTS = /^("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^".]+)$/u;

/**
 * Compiles the patterns.
 * @throws RangeError for a pattern that the input validation would have refused.
 */
export function compileSelection(selection: Selection): Matcher {
  return { includes: compile(selection.include), excludes: compile(selection.exclude) };
}

/** The schemas that `include` can match, for plugin filters `schema.*`; null if a schema part has a wildcard. */
export function literalSchemas(selection: Selection): string[] | null {
  const schemas = new Set<string>();
  for (const pattern of selection.include) {
    const [schema] = split(pattern);
    if (!isLiteral(schema)) return null;
    schemas.add(unquote(schema));
  }
  return [...schemas];
}

/**
 * Whether the selection includes a whole schema, with objects that belong to no table: a pattern `schema.*` includes it and none
 * excludes it. For schemas that may have no selected table, such as one without tables.
 */
export function takesSchema(selection: Selection): (schema: string) => boolean {
  const whole = (patterns: readonly string[]): Glob[] =>
    patterns.flatMap((pattern) => {
      const [part, name] = split(pattern);
      if (!/^\*+$/.test(name)) return [];
      return [isLiteral(part) ? (schema: string) => schema === unquote(part) : compileGlob(part)];
    });
  const [include, exclude] = [whole(selection.include), whole(selection.exclude)];
  return (schema) => include.some((fits) => fits(schema)) && !exclude.some((fits) => fits(schema));
}

/**
 * Whether a table is selected. Partitions and children of an included table are included, those of an excluded table excluded;
 * otherwise a partitioned table would be moved incompletely.
 */
export function isSelected(
  matcher: Matcher,
  table: TableName,
  ancestors: readonly TableName[],
): boolean {
  const line = [table, ...ancestors];
  return line.some((one) => matcher.includes(one)) && !line.some((one) => matcher.excludes(one));
}

/** Literal names use a lookup: comparing thousands of them with tens of thousands of tables would block a worker for a minute. */
function compile(patterns: readonly string[]): (table: TableName) => boolean {
  const literal = new Map<string, Names>();
  const wild = new Map<string, Names>();
  for (const pattern of patterns) {
    const [schema, name] = split(pattern);
    const groups = isLiteral(schema) ? literal : wild;
    const part = isLiteral(schema) ? unquote(schema) : schema;
    const names = groups.get(part) ?? { literal: new Set(), wild: [] };
    groups.set(part, names);
    if (isLiteral(name)) names.literal.add(unquote(name));
    else names.wild.push(compileGlob(name));
  }
  const wildSchemas = [...wild].map(([part, names]) => ({ fits: compileGlob(part), names }));
  return ({ schema, name }) =>
    holds(literal.get(schema), name) ||
    wildSchemas.some(({ fits, names }) => fits(schema) && holds(names, name));
}

function holds(names: Names | undefined, name: string): boolean {
  return names !== undefined && (names.literal.has(name) || names.wild.some((fits) => fits(name)));
}

function split(pattern: string): [string, string] {
  const parts = PARTS.exec(pattern);
  const [schema, name] = [parts?.[1], parts?.[2]];
  if (schema === undefined || name === undefined) {
    throw new RangeError(`not a schema-qualified pattern: ${pattern.slice(0, 80)}`);
  }
  return [schema, name];
}

function isLiteral(part: string): boolean {
  return isQuoted(part) || !/[*?]/.test(part);
}

function isQuoted(part: string): boolean {
  return part.startsWith('"');
}

function unquote(part: string): string {
  return isQuoted(part) ? part.slice(1, -1).replaceAll('""', '"') : part;
}
