/**
 * Changes to the partitions that go through one table on the target (catalog/row-destination.ts). Pure. Their rows cannot be distinguished
 * there, so a partition that leaves the tree, or joins it with rows, causes a resync of the whole tree under one snapshot, which
 * is correct whatever happened in between. Only a partition that was created in its place joins without a copy: all its rows came
 * through changes, and the copy of a tree without it has none of them. No lease may have excluded its changes (withheld.ts).
 */
import { grouped } from '../../contract/grouped.ts';
import type { Relation } from '../catalog/relation.ts';
import { isViaRoot } from '../catalog/row-destination.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import type { TableName } from '../catalog/selection.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';

export interface Tree {
  readonly root: TableName;
  /** Why the whole tree needs a resync; null if it does not. */
  readonly reason: string | null;
  /** Rows of the plan whose tables are unchanged and in the same place, including the root. */
  readonly kept: readonly PlannedRelationRow[];
  /** Rows of the plan whose tables left the tree or were renamed or moved. */
  readonly left: readonly PlannedRelationRow[];
  /** Tables that are new in the tree; without a reason they join under the pass of the others. */
  readonly joining: readonly Relation[];
  /** Pass that copied its partitions; null if there is none or they differ. */
  readonly pass: number | null;
}

type WasSent = (relation: Relation, pass: number | null) => boolean;

/** Rows of the plan for standalone tables that are now partitions of such a tree. */
export function movedIn(
  rows: readonly PlannedRelationRow[],
  here: readonly Relation[],
): PlannedRelationRow[] {
  const inside = new Set(here.flatMap((one) => (one.viaRoot ? [keyOfName(one)] : [])));
  return rows.filter((row) => row.viaRoot === null && inside.has(keyOfName(row)));
}

/**
 * Checks the trees that the plan already contains, not new ones.
 * @param wasSent whether the stream has all changes of a table that was created in its place and joins the copy of this pass.
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
  // Grouped once: scanning all tables for each root takes minutes with many of both.
  const rootOf = ({ viaRoot }: { readonly viaRoot: TableName | null }) =>
    viaRoot && keyOfName(viaRoot);
  const [planned, now] = [grouped(rows, rootOf), grouped(here, rootOf)];
  return [...roots].map(([name, root]) =>
    checkTree(root, planned.get(name) ?? [], now.get(name) ?? [], { definitions, wasSent }),
  );
}

function checkTree(
  root: TableName,
  planned: readonly PlannedRelationRow[],
  now: readonly Relation[],
  known: { readonly definitions: ReadonlyMap<number, TableDefinition>; readonly wasSent: WasSent },
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
      const what = relation ? `is named ${nameOf(relation)} now` : 'is no longer a partition';
      reasons.push(`${nameOf(row)}, ${through} ${what}`);
    }
  }
  const passes = new Set(kept.filter(({ kind }) => kind === 'r').map((one) => one.pass));
  const [pass = null] = passes;
  const stayed = new Set(kept.map(({ oid }) => oid));
  const joining = now.filter(({ oid }) => !stayed.has(oid));
  for (const relation of joining) {
    if (isViaRoot(relation)) continue;
    if (relation.viaRoot?.bornInPlace !== true) {
      reasons.push(`${nameOf(relation)}, ${through} became a partition and already had rows`);
    } else if (relation.kind === 'r' && !known.wasSent(relation, pass)) {
      reasons.push(
        `${nameOf(relation)}, ${through} is new, and its changes may not have been sent`,
      );
    }
  }
  if (passes.size > 1) {
    reasons.push(`the partitions of ${nameOf(root)} were copied under several snapshots`);
  }
  // Nothing was copied yet: the first copy takes the current tree.
  const untouched = planned.every(
    ({ kind, state }) => state === (kind === 'r' ? 'pending' : 'ready'),
  );
  return {
    root,
    reason: untouched ? null : (reasons[0] ?? null),
    kept,
    left,
    joining,
    pass: passes.size === 1 ? pass : null,
  };
}
