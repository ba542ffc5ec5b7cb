/** The types of followed tables: compared by the audit, and checked before every commit on the target. */
import type pg from 'pg';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { lookAtTypes, reachable, fingerprintOf, type TypeGraph } from '../catalog/type-graph.ts';
import { typeDifferences, type TypePairs } from '../catalog/type-pair.ts';
import { checkTypes } from '../catalog/type-record.ts';
import type { Followed } from './follow.ts';
import type { DriftReport } from './table-drift.ts';

/** Says of each followed table whether its types still mean what they did. */
export function checkFollowedTypes(types: TypePairs, found: DriftReport): void {
  for (const { row, source, target } of found.followed) {
    const columns = types.columns(source, target);
    const before = row.definition?.types;
    if (columns.length === 0 && before === undefined) continue;
    const { again, altered, record } = checkTypes(before, columns, types);
    const differences = typeDifferences(source, columns, altered, target.isPartition);
    if (differences.length > 0) {
      // Texts of the stream may mean something else already: nothing more is applied where a type was altered.
      (again === null ? found.ahead : found.drift).push(...differences);
    } else if (again !== null) {
      found.again.push(row.id);
      found.reasons.push(`${nameOf(row)} ${again}`);
    }
    if (record === null) continue;
    const settled = found.settled.get(row.id);
    if (settled) found.settled.set(row.id, { ...settled, types: record });
    // At once: a label that is renamed after it was met has to be known.
    const definition = found.alike.get(row.id) ?? row.definition;
    if (definition) found.alike.set(row.id, { ...definition, types: record });
  }
}

export interface WatchedTypes {
  /** Types that a table is made of, by its key; tables without types of users are missing. */
  readonly byTable: ReadonlyMap<string, readonly number[]>;
  /** What the audit saw, by type. */
  readonly fingerprints: ReadonlyMap<number, string>;
  /** Names of the types, for messages. */
  readonly names: ReadonlyMap<number, string>;
}

export function watchedTypes(followed: readonly Followed[], graph: TypeGraph): WatchedTypes {
  const byTable = new Map<string, readonly number[]>();
  for (const { source } of followed) {
    const nodes = reachable(
      graph,
      source.columns.map(({ typeOid }) => typeOid),
    );
    if (nodes.length === 0) continue;
    byTable.set(
      keyOfName(source),
      nodes.map(({ oid }) => oid),
    );
  }
  return {
    byTable,
    fingerprints: new Map([...graph.values()].map((node) => [node.oid, fingerprintOf(node)])),
    names: new Map([...graph.values()].map((node) => [node.oid, node.name])),
  };
}

/** The name of a type of these tables that has changed since the audit, or null. Runs no query for tables without user types. */
export async function movedType(
  source: pg.ClientBase,
  { byTable, fingerprints, names }: WatchedTypes,
  tables: readonly TableName[],
): Promise<string | null> {
  const oids = [...new Set(tables.flatMap((table) => byTable.get(keyOfName(table)) ?? []))];
  if (oids.length === 0) return null;
  const now = await lookAtTypes(source, oids);
  const moved = oids.find((oid) => now.get(oid) !== fingerprints.get(oid));
  return moved === undefined ? null : (names.get(moved) ?? `type ${moved}`);
}
