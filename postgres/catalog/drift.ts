/**
 * Whether the target's tables can take the source's rows: the same columns by name and type. Pure. Columns may stand in
 * another order, and the target may have more of them, as long as they fill themselves.
 */
import type { Column, Relation } from './relation.ts';

export interface Difference {
  readonly schema: string;
  readonly table: string;
  /** Null when the whole table is the matter. */
  readonly column: string | null;
  /** What differs, in words that follow the names: `is missing on the target`. */
  readonly what: string;
}

type Shape = Pick<Relation, 'schema' | 'name' | 'kind' | 'columns'>;

/** Everything in which the target's tables differ from the source's; tables that only the target has do not count. */
export function compareColumns(source: readonly Shape[], target: readonly Shape[]): Difference[] {
  const there = new Map(target.map((relation) => [nameOf(relation), relation]));
  return source.flatMap((relation) => compareTable(relation, there.get(nameOf(relation))));
}

/** One line for a message: at most `shown` differences, then how many more. */
export function renderDifferences(differences: readonly Difference[], shown = 10): string {
  const lines = differences
    .slice(0, shown)
    .map(({ schema, table, column, what }) =>
      column === null ? `${schema}.${table} ${what}` : `${schema}.${table}.${column} ${what}`,
    );
  const more = differences.length - lines.length;
  return lines.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

function compareTable(source: Shape, target: Shape | undefined): Difference[] {
  const differs = (column: string | null, what: string): Difference => ({
    schema: source.schema,
    table: source.name,
    column,
    what,
  });
  if (!target) return [differs(null, 'is missing on the target')];
  if (source.kind !== target.kind) {
    return [differs(null, `is ${kindOf(source)} on the source, ${kindOf(target)} on the target`)];
  }
  const there = new Map(target.columns.map((column) => [column.name, column]));
  const found: Difference[] = [];
  for (const column of source.columns) {
    const what = compareColumn(column, there.get(column.name));
    if (what !== null) found.push(differs(column.name, what));
    there.delete(column.name);
  }
  for (const extra of there.values()) {
    const fillsItself =
      !extra.notNull || extra.hasDefault || extra.generated || extra.identity !== '';
    if (!fillsItself) {
      found.push(differs(extra.name, 'is on the target only, NOT NULL and without a default'));
    }
  }
  return found;
}

function compareColumn(source: Column, target: Column | undefined): string | null {
  if (!target) return 'is missing on the target';
  if (source.generated !== target.generated) {
    return `is generated on the ${source.generated ? 'source' : 'target'} only`;
  }
  if (source.typeName !== target.typeName) {
    return `is ${source.typeName} on the source, ${target.typeName} on the target`;
  }
  // A generated column is computed by the target itself.
  if (target.notNull && !source.notNull && !source.generated)
    return 'is NOT NULL on the target only';
  return null;
}

function kindOf(relation: Shape): string {
  switch (relation.kind) {
    case 'r':
      return 'a table';
    case 'p':
      return 'a partitioned table';
    case 'f':
      return 'a foreign table';
  }
}

function nameOf(relation: Shape): string {
  return JSON.stringify([relation.schema, relation.name]);
}
