/**
 * Which tables an operator's patterns mean. Pure. A pattern is `schema.table`; in an unquoted part `*` stands for any run
 * of characters and `?` for one, a quoted part is taken literally (so that names with dots or stars can be given).
 * Matching is exact in case: a name is written as the catalog holds it.
 */

/** Schema-qualified patterns of the workflow input; `exclude` wins. */
export interface Selection {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Partitioned tables whose rows go through the root on the target (root.ts); none by default. */
  readonly viaPartitionRoot?: readonly string[];
}

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

export interface Matcher {
  /** Whether one of the `include` patterns names the table. */
  includes(table: TableName): boolean;
  /** Whether one of the `exclude` patterns names the table. */
  excludes(table: TableName): boolean;
}

interface Pattern {
  readonly schema: RegExp;
  readonly name: RegExp;
}

const PARTS = /^("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^".]+)$/u;

/**
 * Compiles the patterns.
 * @throws RangeError for a pattern that the input's schema would have refused.
 */
export function compileSelection(selection: Selection): Matcher {
  const include = selection.include.map(compile);
  const exclude = selection.exclude.map(compile);
  return {
    includes: (table) => include.some((pattern) => fits(pattern, table)),
    excludes: (table) => exclude.some((pattern) => fits(pattern, table)),
  };
}

/**
 * The schemas that `include` can reach, for an output plugin that takes `schema.*`; null when a wildcard in a schema's part
 * leaves them open.
 */
export function literalSchemas(selection: Selection): string[] | null {
  const schemas = new Set<string>();
  for (const pattern of selection.include) {
    const [schema] = split(pattern);
    if (!isQuoted(schema) && /[*?]/.test(schema)) return null;
    schemas.add(unquote(schema));
  }
  return [...schemas];
}

/**
 * Whether the selection takes a schema whole, with what belongs to no table: a pattern `schema.*` includes it, and none excludes it. For
 * a schema whose tables are not known to be selected, such as one without tables.
 */
export function takesSchema(selection: Selection): (schema: string) => boolean {
  const whole = (patterns: readonly string[]) =>
    patterns.filter((pattern) => /^\*+$/.test(split(pattern)[1])).map(compile);
  const [include, exclude] = [whole(selection.include), whole(selection.exclude)];
  return (schema) => {
    const among = (patterns: readonly Pattern[]) => patterns.some((one) => one.schema.test(schema));
    return among(include) && !among(exclude);
  };
}

/**
 * Selects tables together with their ancestors' fate: a partition (or child) of an included table is included, and one of an
 * excluded table is excluded, or a partitioned table would be moved with holes.
 * @param ancestors all tables above one, nearest first.
 */
export function isSelected(
  matcher: Matcher,
  table: TableName,
  ancestors: readonly TableName[],
): boolean {
  const line = [table, ...ancestors];
  return line.some((one) => matcher.includes(one)) && !line.some((one) => matcher.excludes(one));
}

function fits(pattern: Pattern, table: TableName): boolean {
  return pattern.schema.test(table.schema) && pattern.name.test(table.name);
}

function compile(pattern: string): Pattern {
  const [schema, name] = split(pattern);
  return { schema: expression(schema), name: expression(name) };
}

function split(pattern: string): [string, string] {
  const parts = PARTS.exec(pattern);
  const [schema, name] = [parts?.[1], parts?.[2]];
  if (schema === undefined || name === undefined) {
    throw new RangeError(`not a schema-qualified pattern: ${pattern.slice(0, 80)}`);
  }
  return [schema, name];
}

function expression(part: string): RegExp {
  const literal = (text: string) => text.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&');
  if (isQuoted(part)) return new RegExp(`^${literal(unquote(part))}$`, 'su');
  const wild = [...part].map((c) => (c === '*' ? '.*' : c === '?' ? '.' : literal(c)));
  // Flag `s`: a name may hold a line break, and `*` means any character.
  return new RegExp(`^${wild.join('')}$`, 'su');
}

function isQuoted(part: string): boolean {
  return part.startsWith('"');
}

function unquote(part: string): string {
  return isQuoted(part) ? part.slice(1, -1).replaceAll('""', '"') : part;
}
