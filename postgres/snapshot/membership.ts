/**
 * Updates the plan's list of tables at the start of a pass: follows renamed tables, handles trees that go through their root as
 * the stream's drift check does, registers new tables.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Relation } from '../catalog/relation.ts';
import { readRelationsNamed } from '../catalog/read-relations.ts';
import { destinationOf, isViaRoot } from '../catalog/row-destination.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { Selection } from '../catalog/selection.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';
import { readTypeGraph, type TypeGraph } from '../catalog/type-graph.ts';
import { TypePairs } from '../catalog/type-pair.ts';
import { byNumber, readSnapshots } from '../store/exported-snapshot.ts';
import { plannedDefinition } from '../store/planned-definition.ts';
import { readPlannedRelations, type PlannedRelationRow } from '../store/planned-relation.ts';
import {
  dropRelations,
  joinSnapshot,
  markTreesForResync,
  registerRelations,
  renameRelation,
} from '../store/table-move.ts';
import { checkTrees, movedIn } from '../drift/tree.ts';
import { readWithheld, sentWhole } from '../store/withheld.ts';
import { forgetChunks } from './emptying.ts';

const NAMES_SHOWN = 10;

/**
 * Follows tables that were renamed on both sides since the stream's last check: as new tables they would be copied on top of
 * their existing rows. Only the simple case: the target has no table with the old name, the plan none with the new one. If
 * another table has the name, its oid or its rows show that.
 */
export async function followNames(
  target: pg.ClientBase,
  migration: Migration,
  found: readonly Relation[],
): Promise<void> {
  const rows = await readPlannedRelations(target, migration);
  const planned = new Set(rows.map(keyOfName));
  const names = new Map(found.map((relation) => [relation.oid, relation]));
  const moved = rows.flatMap((row) => {
    const to = names.get(row.oid);
    if (row.pass === null || !to || planned.has(keyOfName(to))) return [];
    return row.viaRoot === null && to.viaRoot === null ? [{ row, to }] : [];
  });
  if (moved.length === 0) return;
  const before = moved.map(({ row }) => row);
  const there = new Set((await readRelationsNamed(target, before)).map(keyOfName));
  for (const { row, to } of moved) {
    if (!there.has(keyOfName(row))) await renameRelation(target, migration, row.id, to);
  }
}

/**
 * Registers the tables. Partitions that go through their root are handled as in the stream's drift check (drift/tree.ts): the
 * first check after a DDL decides.
 */
export async function followTrees(
  target: pg.ClientBase,
  migration: Migration,
  {
    found,
    definitions,
    selection,
    types,
    counterparts,
  }: {
    readonly found: readonly Relation[];
    readonly definitions: ReadonlyMap<number, TableDefinition>;
    readonly selection: Selection;
    /** Types of the found tables' columns. */
    readonly types: TypeGraph;
    /** The target's tables for those found. */
    readonly counterparts: readonly Relation[];
  },
): Promise<void> {
  const rows = await readPlannedRelations(target, migration);
  const withheld = await readWithheld(target, migration);
  const copies = byNumber(await readSnapshots(target, migration));
  const trees = checkTrees(rows, found, definitions, (one, number) =>
    sentWhole(withheld, selection, one, copies.get(number)),
  );
  const entering = movedIn(rows, found);
  const left = trees.flatMap((tree) => tree.left);
  // A root that is gone on the source is emptied, and the stream's drift check reports it to the operator.
  const here = new Set(found.map(keyOfName));
  const roots = left.filter((row) => isViaRoot(row) && !here.has(keyOfName(row)));
  const there = new Set((await readRelationsNamed(target, roots)).map(keyOfName));
  const asked = (row: PlannedRelationRow) => roots.includes(row) && there.has(keyOfName(row));
  const gone = [...left.filter((row) => !asked(row)), ...entering];
  if (gone.length > 0) {
    const own = (await readRelationsNamed(target, entering)).filter((one) => !one.isPartition);
    if (own.length > 0) {
      const shown = own.slice(0, NAMES_SHOWN).map(({ schema, name }) => `${schema}.${name}`);
      throw new MigrationError(
        'SchemaDrift',
        `tables became partitions on the source, and their rows go through their root: drop these tables on the target, then resume: ${shown.join(', ')}`,
      );
    }
    const ids = gone.map(({ id }) => id);
    await forgetChunks(target, migration, ids);
    await dropRelations(target, migration, ids);
  }
  await registerRelations(target, migration, found);
  const again = trees.flatMap(({ root, reason }) => (reason === null ? [] : [{ ...root, reason }]));
  await markTreesForResync(target, migration, again);
  const joined = trees.flatMap(({ reason, pass, joining }) =>
    reason === null && pass !== null ? [{ pass, joining }] : [],
  );
  if (joined.length === 0) return;
  const pairs = new TypePairs(types, await readTypeGraph(target, counterparts));
  const byName = new Map(counterparts.map((one) => [keyOfName(one), one]));
  for (const { pass, joining } of joined) {
    const shaped = joining.flatMap((relation) => {
      const source = definitions.get(relation.oid);
      const there = byName.get(keyOfName(destinationOf(relation)));
      // Without a counterpart it keeps no pass, and its tree is copied.
      if (!source || !there) return [];
      const { schema, name } = relation;
      return [
        { schema, name, definition: plannedDefinition({ relation, target: there }, source, pairs) },
      ];
    });
    await joinSnapshot(target, migration, shaped, pass);
  }
}
