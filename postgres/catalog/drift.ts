/**
 * Whether the target's tables can take the source's rows: the same columns by name and type, and the types made of the same. Pure.
 * Columns may stand in another order, and the target may have more of them, as long as they fill themselves.
 */
import { compareDeterminism } from './collation.ts';
import type { Column, Relation } from './relation.ts';
import { destinationOf } from './root.ts';
import { keyOfName } from './table-name.ts';
import { compareForms, useOf } from './type-form.ts';

export interface Difference {
  readonly schema: string;
  readonly table: string;
  /** Null when the whole table is the matter. */
  readonly column: string | null;
  /** What differs, in words that follow the names: `is missing on the target`. */
  readonly what: string;
}

type TableDefinition = Pick<Relation, 'schema' | 'name' | 'kind' | 'columns' | 'types' | 'viaRoot'>;

/**
 * Everything in which the target's tables differ from the source's; tables that only the target has do not count. A partition
 * that goes through its root is compared with that, and what differs is said of the root, once.
 */
export function compareColumns(
  source: readonly TableDefinition[],
  target: readonly Omit<TableDefinition, 'viaRoot'>[],
): Difference[] {
  const there = new Map(target.map((relation) => [keyOfName(relation), relation]));
  const found = source.flatMap((relation) =>
    compareTable(relation, there.get(keyOfName(destinationOf(relation)))),
  );
  const line = (one: Difference) => JSON.stringify([one.schema, one.table, one.column, one.what]);
  return [...new Map(found.map((one) => [line(one), one])).values()];
}

/**
 * Tables of their own whose name is a partition's on the target. Beside a tree that goes through its root they would put their
 * rows into that root.
 */
export function partitionsInTheWay(
  source: readonly Pick<Relation, 'schema' | 'name' | 'isPartition' | 'viaRoot'>[],
  target: readonly Pick<Relation, 'schema' | 'name' | 'isPartition'>[],
): Difference[] {
  const there = new Set(target.flatMap((one) => (one.isPartition ? [keyOfName(one)] : [])));
  return source
    .filter((one) => one.viaRoot === null && !one.isPartition && there.has(keyOfName(one)))
    .map(({ schema, name }) => ({
      ...{ schema, table: name, column: null },
      what: 'is a table of its own on the source and a partition on the target: rename that partition',
    }));
}

/** One line for a message: at most `shown` differences, then how many more. */
export function renderDifferences(differences: readonly Difference[], shown = 10): string {
  // Partitions of one root say the same of it.
  const lines = new Set(
    differences.map(({ schema, table, column, what }) =>
      column === null ? `${schema}.${table} ${what}` : `${schema}.${table}.${column} ${what}`,
    ),
  );
  const more = lines.size - shown;
  return [...lines].slice(0, shown).join('; ') + (more > 0 ? `; and ${more} more` : '');
}

function compareTable(
  source: TableDefinition,
  target: Omit<TableDefinition, 'viaRoot'> | undefined,
): Difference[] {
  const { schema, name: table } = destinationOf(source);
  const differs = (column: string | null, what: string): Difference => ({
    ...{ schema, table, column },
    what,
  });
  if (!target) return [differs(null, 'is missing on the target')];
  const oneTable = source.viaRoot !== null && target.kind !== 'f';
  if (!oneTable && source.kind !== target.kind) {
    return [differs(null, `is ${kindOf(source)} on the source, ${kindOf(target)} on the target`)];
  }
  const there = new Map(target.columns.map((column) => [column.name, column]));
  const found: Difference[] = [];
  for (const column of source.columns) {
    const what = compareColumn(column, there.get(column.name), [source, target]);
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

function compareColumn(
  source: Column,
  target: Column | undefined,
  [here, there]: readonly [Pick<TableDefinition, 'types'>, Pick<TableDefinition, 'types'>],
): string | null {
  if (!target) return 'is missing on the target';
  if (source.generated !== target.generated) {
    return `is generated on the ${source.generated ? 'source' : 'target'} only`;
  }
  if (source.typeName !== target.typeName) {
    return `is ${source.typeName} on the source, ${target.typeName} on the target`;
  }
  const what = compareForms(useOf(source, here), useOf(target, there));
  if (what !== null) return what;
  const equality = compareDeterminism(source.collation, target.collation);
  if (equality !== null) return equality;
  // A generated column is computed by the target itself.
  if (target.notNull && !source.notNull && !source.generated)
    return 'is NOT NULL on the target only';
  return null;
}

function kindOf(relation: Pick<TableDefinition, 'kind'>): string {
  switch (relation.kind) {
    case 'r':
      return 'a table';
    case 'p':
      return 'a partitioned table';
    case 'f':
      return 'a foreign table';
  }
}
