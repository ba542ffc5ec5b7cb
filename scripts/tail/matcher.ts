/** The tables that `--table` selects. */
import type { ReadTable } from './reader.ts';

/** `schema.table` or `table` (any schema), with `*` and `?`; an empty list means every table. */
export function tableMatcher(
  patterns: readonly string[],
): (schema: string, table: string) => boolean {
  const expressions = patterns.map((pattern) => {
    const whole = pattern.includes('.') ? pattern : `*.${pattern}`;
    const source = whole
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^${source}$`, 's');
  });
  return (schema, table) =>
    expressions.length === 0 || expressions.some((e) => e.test(`${schema}.${table}`));
}

/** Patterns that match nothing in the database now, each with the reason: with a typing error the tail would wait forever. */
export function patternWarnings(
  patterns: readonly string[],
  tables: readonly ReadTable[],
): string[] {
  return patterns.flatMap((pattern) => {
    const wanted = tableMatcher([pattern]);
    const found = tables.filter(({ schema, name }) => wanted(schema, name));
    if (found.length === 0) return [`no table matches "${pattern}" yet`];
    if (found.some(({ partitioned }) => !partitioned)) return [];
    return [
      `only a partitioned table matches "${pattern}": name its partitions, changes carry their names`,
    ];
  });
}
