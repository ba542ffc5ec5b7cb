/** Reads under one state which tables are compared, and how large they are on both sides. */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { TableState } from '../../contract/table-state.ts';
import { ignoredAmong } from '../catalog/ignore-patterns.ts';
import { readRelations, readRelationsNamed } from '../catalog/read-relations.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf } from '../catalog/row-destination.ts';
import { readLeaves } from '../catalog/leaf-partition.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { readMajors } from '../catalog/version-form.ts';
import { readPlannedSizes } from '../store/planned-relation.ts';
import type { TableShape } from '../store/verification-shape.ts';
import { comparisonsOf, obstacle, shapeOf, type Comparison } from './compared-table.ts';
import type { SizedComparison } from './piece-cut.ts';

/** A table to compare, or one that cannot be compared. */
export interface FoundTable extends TableName {
  readonly shape: TableShape | null;
  readonly reason: string | null;
  readonly parts: SizedComparison['parts'];
}

/** Readers that are in transactions under the state. */
export type Readers = Readonly<Record<'source' | 'target', pg.ClientBase>>;

/**
 * All selected tables of the source with their counterparts. Which tables are ready is read under the target's snapshot: later
 * states are not those of its rows.
 */
export async function readComparisons(
  migration: Migration,
  input: MigrationInput,
  { source, target }: Readers,
): Promise<FoundTable[]> {
  const found = (await readRelations(source, input.tables)).filter(({ kind }) => kind !== 'f');
  const counterparts = await readRelationsNamed(target, destinationsOf(found));
  const leaves = await leavesOf(target, counterparts);
  const planned = await readPlannedSizes(target, migration);
  const states = new Map(planned.map((one): [string, TableState] => [keyOfName(one), one.state]));
  const majors = await readMajors(source, target);
  const { unlogged } = ignoredAmong(found, input.ignore);
  const onceOnly = new Set(
    found
      .filter((one) => one.persistence === 'u' && unlogged(one))
      .map((one) => keyOfName(destinationOf(one))),
  );
  const sizes = await readSizes(target, [...counterparts, ...[...leaves.values()].flat()]);
  const comparisons = comparisonsOf({ found, counterparts, leaves });
  const tables = comparisons.map((one) => {
    const { destination } = one;
    const reason = onceOnly.has(keyOfName(destination))
      ? ONCE_ONLY
      : obstacle(one, (table) => states.get(keyOfName(table)));
    const shape = reason === null ? shapeOf(one, majors) : null;
    return { ...destination, shape, reason, parts: sized(one, sizes) };
  });
  const here = new Set(found.map(keyOfName));
  const gone = planned.filter((one) => one.kind === 'r' && !here.has(keyOfName(one)));
  const listed = new Set(tables.map(keyOfName));
  const lost = destinationsOf(gone).filter((one) => !listed.has(keyOfName(one)));
  return [
    ...tables,
    ...lost.map((one) => ({
      ...one,
      ...{ shape: null, reason: 'is missing on the source', parts: { source: [], target: [] } },
    })),
  ];
}

/** A table that is only copied once differs as soon as it is written; that is what the operator accepted. */
export const ONCE_ONLY = 'unlogged on the source, so it is only copied once';

/** Partitions that hold the rows of the target's partitioned tables. */
async function leavesOf(
  target: pg.ClientBase,
  counterparts: readonly Relation[],
): Promise<Map<string, Relation[]>> {
  const named = await readLeaves(
    target,
    counterparts.filter(({ kind }) => kind === 'p'),
  );
  const read = await readRelationsNamed(target, [...named.values()].flat());
  const relations = new Map(read.map((one) => [keyOfName(one), one]));
  return new Map(
    [...named].map(([root, leaves]) => [
      root,
      leaves.flatMap((one) => relations.get(keyOfName(one)) ?? []),
    ]),
  );
}

interface Size {
  readonly pages: number;
  readonly bytes: number;
}

/** Measured: after a copy the target's statistics may not know a table yet. */
async function readSizes(
  target: pg.ClientBase,
  tables: readonly Relation[],
): Promise<Map<number, Size>> {
  const { rows } = await target.query<Size & { oid: number }>(
    /* sql */ `
    select c.oid::int8::float8 as oid, coalesce(pg_catalog.pg_table_size(c.oid), 0)::float8 as bytes,
           (coalesce(pg_catalog.pg_relation_size(c.oid), 0) / pg_catalog.current_setting('block_size')::int8)::float8 as pages
      from pg_catalog.pg_class c where c.oid = any($1::oid[]) and c.relkind = 'r'`,
    [tables.map(({ oid }) => oid)],
  );
  return new Map(rows.map(({ oid, ...size }) => [oid, size]));
}

function sized({ source, target }: Comparison, sizes: ReadonlyMap<number, Size>) {
  return {
    source: source.map(({ pages, bytes, splittable }) => ({ pages, bytes, splittable })),
    target: target.map(({ oid, splittable }) => ({
      ...(sizes.get(oid) ?? { pages: 0, bytes: 0 }),
      splittable,
    })),
  };
}
