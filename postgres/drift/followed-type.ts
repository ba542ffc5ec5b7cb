/** The types of followed tables: compared by the drift check, and checked before every commit on the target. */
import type pg from 'pg';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { lookAtTypes, reachable, fingerprintOf, type TypeGraph } from '../catalog/type-graph.ts';
import { typeDifferences, type TypePairs } from '../catalog/type-pair.ts';
import { checkTypes } from '../catalog/type-record.ts';
import type { Followed } from './follow.ts';
import type { DriftReport } from './table-drift.ts';

/** Checks for each followed table whether its types still have the same meaning. */
export function checkFollowedTypes(types: TypePairs, found: DriftReport): void {
  for (const { row, source, target } of found.followed) {
    const columns = types.columns(source, target);
    const before = row.definition?.types;
    if (columns.length === 0 && before === undefined) continue;
    const { again, altered, record } = checkTypes(before, columns, types);
    const differences = typeDifferences(source, columns, altered, target.isPartition);
    if (differences.length > 0) {
      // Values in the stream may already have another meaning: nothing more is applied once a type was altered.
      (again === null ? found.ahead : found.drift).push(...differences);
    } else if (again !== null) {
      found.again.set(row.id, again);
      found.reasons.push(`${nameOf(row)} ${again}`);
    }
    if (record === null) continue;
    const settled = found.settled.get(row.id);
    if (settled) found.settled.set(row.id, { ...settled, types: record });
    // At once, because a label may be renamed after it was met.
    const definition = found.alike.get(row.id) ?? row.definition;
    if (definition) found.alike.set(row.id, { ...definition, types: record });
  }
}

export interface WatchedTypes {
  /** Types that a table uses, by its key; tables without user-defined types are missing. */
  readonly byTable: ReadonlyMap<string, readonly number[]>;
  /** Fingerprints that the drift check saw, by type. */
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

/**
 * The name of a type of these tables that changed since the drift check, or null. No query for tables without user-defined types.
 */
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
