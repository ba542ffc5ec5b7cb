/** The tables that `--table` selects. */
import { compileGlob } from '../../postgres/catalog/glob.ts';
import type { ReadTable } from './reader.ts';

/** `schema.table` or `table` (any schema), with `*` and `?`; an empty list means every table. */
export function tableMatcher(
  patterns: readonly string[],
): (schema: string, table: string) => boolean {
  const globs = patterns.map((one) => compileGlob(one.includes('.') ? one : `*.${one}`));
  return (schema, table) => globs.length === 0 || globs.some((fits) => fits(`${schema}.${table}`));
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
