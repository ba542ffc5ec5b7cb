/** What happened to one planned or selected table, from both catalogs as the drift check (drift-check.ts) has read them. */
import type pg from 'pg';
import {
  compareColumns,
  partitionsInTheWay,
  type Difference,
} from '../catalog/column-difference.ts';
import { unloggedText } from '../catalog/table-file.ts';
import type { Ignored } from '../catalog/ignore-patterns.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf, isViaRoot } from '../catalog/row-destination.ts';
import { keyOfName, nameOf, quoted } from '../catalog/table-name.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';
import type { PlannedDefinition } from '../store/planned-definition.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import type { SpoiledTree } from '../store/table-move.ts';
import type { Tree } from './tree.ts';
import { withRows } from '../schema/existing.ts';
import { followColumns, type Followed } from './follow.ts';

/** What the tables need. */
export interface DriftReport {
  readonly followed: Followed[];
  readonly settled: Map<number, PlannedDefinition>;
  readonly alike: Map<number, PlannedDefinition>;
  /** Transactions whose TRUNCATE must arrive, by plan number. */
  readonly awaited: Map<number, string>;
  /** Unlogged tables that the operator accepts, by plan number: their changes are ignored. */
  readonly unlogged: Set<number>;
  readonly ahead: Difference[];
  /** The operator is asked about these at once. */
  readonly drift: Difference[];
  /** New tables that are missing on the target. */
  readonly absent: Relation[];
  readonly forget: number[];
  readonly rename: { readonly id: number; readonly to: Relation }[];
  readonly register: Relation[];
  /** Partitions to follow from the current position of their tree. */
  readonly joining: { readonly relation: Relation; readonly pass: number }[];
  /** Roots of trees to resync. */
  readonly trees: SpoiledTree[];
  /** Tables to resync, by plan number, and why; `reasons` has the reasons of all. */
  readonly again: Map<number, string>;
  readonly reasons: string[];
}

export interface Sides {
  readonly hereByOid: ReadonlyMap<number, Relation>;
  readonly here: ReadonlyMap<string, Relation>;
  readonly there: ReadonlyMap<string, Relation>;
  readonly definitions: ReadonlyMap<number, TableDefinition>;
  readonly targetDefinitions: ReadonlyMap<number, TableDefinition>;
  /** Names of planned tables, without those that now belong to other tables. */
  readonly planned: ReadonlySet<string>;
  readonly trees: readonly Tree[];
  readonly ignored: Ignored;
}

/** Checks a planned table. */
export function checkTable(row: PlannedRelationRow, sides: Sides, found: DriftReport): void {
  const name = keyOfName(row);
  const relation = sides.here.get(name);
  const counterpart = sides.there.get(keyOfName(destinationOf(row)));
  const differs = (what: string): void => {
    found.drift.push({ schema: row.schema, table: row.name, column: null, what });
  };
  if (!relation) {
    checkGone(row, sides, found);
    return;
  }
  if (!counterpart) {
    differs('is missing on the target');
    return;
  }
  if (relation.oid !== row.oid) {
    const differences = compareColumns([relation], [counterpart]);
    found.drift.push(...differences);
    if (differences.length > 0) return;
    // Records the new oid: the copied rows are from another table.
    found.register.push(relation);
    if (row.kind === 'r' || relation.kind === 'r') {
      const what =
        row.state === 'absent' ? 'was not in the latest snapshot' : 'was recreated on the source';
      found.reasons.push(`${nameOf(row)} ${what}`);
    }
    return;
  }
  if (row.kind === 'p') {
    found.drift.push(...compareColumns([relation], [counterpart]));
    return;
  }
  if (relation.viaRoot !== null && !isIdentified(relation, sides.ignored)) {
    differs(NOT_UNIQUE_IN_TREE);
    return;
  }
  // From the same query as the file: the persistence may change between two queries.
  const now = sides.definitions.get(relation.oid);
  if (!now) return;
  const unlogged = now.persistence === 'u';
  if (unlogged && !sides.ignored.unlogged(relation)) {
    differs(unloggedText(relation));
    return;
  }
  if (row.state === 'resync') {
    if (isIdentified(relation, sides.ignored))
      found.reasons.push(`changes of ${nameOf(row)} are missing`);
    else differs('has no replica identity on the source: its updates and deletes are not sent');
    return;
  }
  if (unlogged) {
    found.drift.push(...compareColumns([relation], [counterpart]));
    checkUnlogged(row, found);
    return;
  }
  const targetDefinition = sides.targetDefinitions.get(counterpart.oid);
  const drift = followColumns(row, {
    source: relation,
    target: counterpart,
    now,
    targetDefinition,
  });
  found.drift.push(...drift.drift);
  found.ahead.push(...drift.ahead);
  if (drift.followed) found.followed.push(drift.followed);
  if (drift.settled) found.settled.set(row.id, drift.settled);
  if (drift.alike) found.alike.set(row.id, drift.alike);
  if (drift.awaited !== null) found.awaited.set(row.id, drift.awaited);
  if (drift.again !== null) {
    found.again.set(row.id, drift.again);
    found.reasons.push(`${nameOf(row)} ${drift.again}`);
  }
}

/** Whether the operator accepts that only inserts of the table are sent. */
export function isInsertOnly(relation: Relation | undefined, { ignored }: Sides): boolean {
  if (relation?.kind !== 'r' || relation.identity === 'f' || relation.key !== null) return false;
  return ignored.missingIdentity(relation);
}

/** An accepted unlogged table: it is copied once, and its changes are ignored, also those from a time when it was logged. */
function checkUnlogged(row: PlannedRelationRow, found: DriftReport): void {
  found.unlogged.add(row.id);
  if (row.definition?.source.persistence === 'u') return;
  found.again.set(row.id, 'is now unlogged on the source');
  found.reasons.push(`${nameOf(row)} is now unlogged on the source`);
}

const NOT_UNIQUE_IN_TREE =
  'goes through its root on the target, but its replica identity is unique only within the partition: give the root a primary key, or this table REPLICA IDENTITY FULL';

/** A separate table that was attached to a tree: its old table on the target is no longer followed. */
export function checkEntering(row: PlannedRelationRow, sides: Sides, found: DriftReport): void {
  const own = sides.there.get(keyOfName(row));
  if (!own || own.isPartition) return;
  found.drift.push({
    ...{ schema: row.schema, table: row.name, column: null },
    what: 'is now a partition on the source, and its rows go through the root: drop it on the target',
  });
}

/** Whether the row belongs to a root that the source no longer has under this name, but the target has. */
export function isLeftRoot(row: PlannedRelationRow, { here, there }: Sides): boolean {
  const name = keyOfName(row);
  return isViaRoot(row) && !here.has(name) && there.has(name);
}

/** Checks a planned table whose name is gone from the selection. */
function checkGone(row: PlannedRelationRow, sides: Sides, found: DriftReport): void {
  const counterpart = sides.there.get(keyOfName(row));
  const moved = sides.hereByOid.get(row.oid);
  const renamed = moved && keyOfName(moved);
  if (counterpart) {
    const definition = sides.definitions.get(row.oid);
    const now = definition && `${definition.schema}.${definition.name}`;
    found.drift.push({
      ...{ schema: row.schema, table: row.name, column: null },
      what: now
        ? `is named ${now} on the source now: rename it on the target (or drop it there if ${now} is not to be moved)`
        : 'is gone on the source: drop it on the target',
    });
  } else if (moved && renamed && sides.there.has(renamed) && !sides.planned.has(renamed)) {
    found.rename.push({ id: row.id, to: moved });
    if (row.kind === 'r') found.reasons.push(`${nameOf(row)} is named ${nameOf(moved)} now`);
  } else {
    found.forget.push(row.id);
  }
}

/** Checks selected tables that are not in the plan. */
export async function checkNew(
  target: pg.ClientBase,
  here: readonly Relation[],
  sides: Sides,
  found: DriftReport,
): Promise<void> {
  const renamed = new Set(found.rename.map(({ to }) => to.oid));
  const fresh = here.filter(
    ({ schema, name, oid }) => !sides.planned.has(keyOfName({ schema, name })) && !renamed.has(oid),
  );
  const takeable: { readonly relation: Relation }[] = [];
  for (const relation of fresh) {
    const { schema, name, kind } = relation;
    const counterpart = sides.there.get(keyOfName(destinationOf(relation)));
    const differs = (what: string): void => {
      found.drift.push({ schema, table: name, column: null, what });
    };
    if (kind === 'r' && relation.persistence === 'u' && !sides.ignored.unlogged(relation)) {
      differs('is new and unlogged: its changes are not sent; make it logged or drop it');
    } else if (kind === 'r' && !isIdentified(relation, sides.ignored)) {
      differs(
        relation.viaRoot === null || relation.key === null
          ? 'is new and has no replica identity on the source: its updates are not sent'
          : NOT_UNIQUE_IN_TREE,
      );
    } else if (!counterpart) {
      found.absent.push(relation);
    } else {
      const differences = compareColumns([relation], [counterpart]);
      if (sides.trees.length > 0) {
        differences.push(...partitionsInTheWay([relation], [counterpart]));
      }
      found.drift.push(...differences);
      const tree = treeOf(relation, sides.trees);
      if (differences.length > 0) continue;
      if (tree !== undefined && tree.reason === null && tree.pass !== null) {
        found.joining.push({ relation, pass: tree.pass });
      } else if (tree !== undefined && tree.reason !== null) {
        found.register.push(relation);
      } else {
        takeable.push({ relation });
      }
    }
  }
  const tables = takeable.filter(({ relation }) => relation.kind === 'r');
  const filled = await withRows(
    target,
    tables.map(({ relation }) => ({ relation, sql: quoted(destinationOf(relation)) })),
  );
  for (const { relation } of filled) {
    const what = 'is new in the selection but already holds rows on the target: empty it there';
    found.drift.push({ schema: relation.schema, table: relation.name, column: null, what });
  }
  found.register.push(...takeable.map(({ relation }) => relation));
  found.reasons.push(
    ...tables.map(({ relation }) => `${nameOf(relation)} is new in the selection`),
  );
}

/** Whether updates and deletes identify one row of the target's table, or the operator accepts that they are not sent. */
function isIdentified(relation: Relation, ignored: Ignored): boolean {
  const { key, identity, viaRoot } = relation;
  if (identity === 'f') return true;
  return key === null ? ignored.missingIdentity(relation) : viaRoot?.uniqueKey !== false;
}

function treeOf({ viaRoot }: Relation, trees: readonly Tree[]): Tree | undefined {
  return viaRoot === null
    ? undefined
    : trees.find(({ root }) => keyOfName(root) === keyOfName(viaRoot));
}
