/**
 * What became of the partitions that go through one table on the target (catalog/root.ts). Pure. Their rows cannot be told apart
 * there, so a partition that leaves the tree, or comes to it with rows, makes all of them be copied again, under one generation:
 * that is right whatever happened in between. Only a partition that was made where it is joins as it is: whatever it holds came
 * by changes, and none of those is in the copy of a tree that did not have it. Nor may the plugin have been told to leave one of
 * them out (withheld.ts).
 */
import type { Relation } from '../catalog/relation.ts';
import { isViaRoot } from '../catalog/root.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import type { TableName } from '../catalog/selection.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';
import type { PlannedRelationRow } from './relation.ts';

export interface Tree {
  readonly root: TableName;
  /** Why all of it has to be copied again; null when it need not. */
  readonly reason: string | null;
  /** Rows of the plan that are still what and where they were, the root's own among them. */
  readonly kept: readonly PlannedRelationRow[];
  /** Rows of the plan for tables that are gone from the tree, renamed or moved. */
  readonly left: readonly PlannedRelationRow[];
  /** Tables that join the tree, under the generation of the others; with a reason all that are new to it. */
  readonly joining: readonly Relation[];
  /** Of the copy of its partitions; null when there is none, or when they differ. */
  readonly pass: number | null;
}

type WasSent = (relation: Relation, pass: number | null) => boolean;

/** Rows of the plan for tables of their own that are partitions of such a tree now. */
export function movedIn(
  rows: readonly PlannedRelationRow[],
  here: readonly Relation[],
): PlannedRelationRow[] {
  const inside = new Set(here.flatMap((one) => (one.viaRoot ? [keyOfName(one)] : [])));
  return rows.filter((row) => row.viaRoot === null && inside.has(keyOfName(row)));
}

/**
 * The trees of which the plan holds something. Those that are only to be begun are not among them.
 * @param wasSent whether all changes of a table that was made in its place, and joins a copy of this number, were sent.
 */
export function checkTrees(
  rows: readonly PlannedRelationRow[],
  here: readonly Relation[],
  definitions: ReadonlyMap<number, TableDefinition>,
  wasSent: WasSent,
): Tree[] {
  const roots = new Map(
    rows.flatMap(({ viaRoot }) => (viaRoot ? [[keyOfName(viaRoot), viaRoot]] : [])),
  );
  // Grouped once: looking through all tables for each root takes minutes where both are many.
  const [planned, now] = [byRoot(rows), byRoot(here)];
  return [...roots].map(([name, root]) =>
    checkTree(root, planned.get(name) ?? [], now.get(name) ?? [], { definitions, wasSent }),
  );
}

function byRoot<T extends { readonly viaRoot: TableName | null }>(
  tables: readonly T[],
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const table of tables) {
    if (table.viaRoot === null) continue;
    const root = keyOfName(table.viaRoot);
    const group = groups.get(root);
    if (group) group.push(table);
    else groups.set(root, [table]);
  }
  return groups;
}

function checkTree(
  root: TableName,
  planned: readonly PlannedRelationRow[],
  now: readonly Relation[],
  known: {
    readonly definitions: ReadonlyMap<number, TableDefinition>;
    readonly wasSent: WasSent;
  },
): Tree {
  const through = `which goes through ${nameOf(root)} on the target,`;
  const reasons: string[] = [];
  const kept: PlannedRelationRow[] = [];
  const left: PlannedRelationRow[] = [];
  const byOid = new Map(now.map((relation) => [relation.oid, relation]));
  for (const row of planned) {
    const relation = byOid.get(row.oid);
    if (relation && keyOfName(relation) === keyOfName(row)) {
      kept.push(row);
      const before = row.definition?.source.place;
      if (before !== undefined && before !== known.definitions.get(row.oid)?.place) {
        reasons.push(`${nameOf(row)}, ${through} was detached and attached again`);
      }
    } else {
      left.push(row);
      const what = relation ? `is named ${nameOf(relation)} now` : 'is a partition no more';
      reasons.push(`${nameOf(row)}, ${through} ${what}`);
    }
  }
  const snapshots = new Set(kept.filter(({ kind }) => kind === 'r').map((one) => one.pass));
  const [pass = null] = snapshots;
  const stayed = new Set(kept.map(({ oid }) => oid));
  const joining = now.filter(({ oid }) => !stayed.has(oid));
  for (const relation of joining) {
    if (isViaRoot(relation)) continue;
    if (relation.viaRoot?.bornInPlace !== true) {
      reasons.push(`${nameOf(relation)}, ${through} became a partition with rows of its own`);
    } else if (relation.kind === 'r' && !known.wasSent(relation, pass)) {
      reasons.push(
        `${nameOf(relation)}, ${through} is new, and its changes may not have been sent`,
      );
    }
  }
  if (snapshots.size > 1) reasons.push(`the partitions of ${nameOf(root)} are of several copies`);
  // Nothing of it was ever copied: whatever is here now is what the first copy takes.
  const untouched = planned.every((row) => row.pass === null && !row.rewritten);
  return {
    root,
    reason: untouched ? null : (reasons[0] ?? null),
    kept,
    left,
    joining,
    pass: snapshots.size === 1 ? pass : null,
  };
}
