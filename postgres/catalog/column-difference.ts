/**
 * Whether the target's tables can store the source's rows: same column names and types, and types with the same parts. Pure.
 * Columns may be in a different order, and the target may have additional columns that need no value from the source.
 */
import { listed } from '../../contract/listed.ts';
import { compareDeterminism } from './collation.ts';
import type { Column, Relation } from './relation.ts';
import { destinationOf } from './row-destination.ts';
import { keyOfName } from './table-name.ts';
import { compareForms, useOf } from './type-form.ts';

export interface Difference {
  readonly schema: string;
  readonly table: string;
  /** Null if the difference concerns the whole table. */
  readonly column: string | null;
  /** What differs; follows the name: `is missing on the target`. */
  readonly what: string;
}

type Comparable = Pick<
  Relation,
  'schema' | 'name' | 'kind' | 'columns' | 'types' | 'viaRoot' | 'mayBeSplit'
>;

/**
 * All differences between the source's tables and their counterparts; tables that exist only on the target are ignored. A
 * partition that goes through its root is compared with the root, and a difference is reported once, for the root.
 */
export function compareColumns(
  source: readonly Comparable[],
  target: readonly Omit<Comparable, 'viaRoot' | 'mayBeSplit'>[],
): Difference[] {
  const there = new Map(target.map((relation) => [keyOfName(relation), relation]));
  const found = source.flatMap((relation) =>
    compareTable(relation, there.get(keyOfName(destinationOf(relation)))),
  );
  const line = (one: Difference) => JSON.stringify([one.schema, one.table, one.column, one.what]);
  return [...new Map(found.map((one) => [line(one), one])).values()];
}

/**
 * Standalone tables of the source whose name belongs to a partition on the target. If that partition's tree goes through its
 * root, the table's rows would end up in the root.
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
      what: 'is a standalone table on the source but a partition on the target: rename that partition',
    }));
}

const SHOWN = 10;

export function renderDifferences(differences: readonly Difference[]): string {
  // Partitions of one root report the same difference.
  const lines = new Set(
    differences.map(({ schema, table, column, what }) =>
      column === null ? `${schema}.${table} ${what}` : `${schema}.${table}.${column} ${what}`,
    ),
  );
  return listed([...lines], SHOWN, '; ');
}

function compareTable(
  source: Comparable,
  target: Omit<Comparable, 'viaRoot' | 'mayBeSplit'> | undefined,
): Difference[] {
  const { schema, name: table } = destinationOf(source);
  const differs = (column: string | null, what: string): Difference => ({
    ...{ schema, table, column },
    what,
  });
  if (!target) return [differs(null, 'is missing on the target')];
  const through = source.viaRoot !== null || source.mayBeSplit === true;
  const oneTable = through && target.kind !== 'f';
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
      found.push(differs(extra.name, 'exists only on the target, is NOT NULL and has no default'));
    }
  }
  return found;
}

function compareColumn(
  source: Column,
  target: Column | undefined,
  [here, there]: readonly [Pick<Comparable, 'types'>, Pick<Comparable, 'types'>],
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
  // The target computes generated columns.
  if (target.notNull && !source.notNull && !source.generated)
    return 'is NOT NULL on the target only';
  return null;
}

function kindOf(relation: Pick<Comparable, 'kind'>): string {
  switch (relation.kind) {
    case 'r':
      return 'a table';
    case 'p':
      return 'a partitioned table';
    case 'f':
      return 'a foreign table';
  }
}
