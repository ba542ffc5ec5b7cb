/** Records the decisions of a drift check in the control schema. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { TypePairs } from '../catalog/type-pair.ts';
import { outdateSnapshots } from '../store/exported-snapshot.ts';
import { plannedDefinition, type PlannedDefinition } from '../store/planned-definition.ts';
import {
  dropRelations,
  joinSnapshot,
  markForResync,
  markTreesForResync,
  registerRelations,
  renameRelation,
} from '../store/table-move.ts';
import { writeFenced } from './fenced-write.ts';
import type { DriftReport, Sides } from './table-drift.ts';

/** Writes what the drift check decided in one transaction under the attempt's epoch. */
export async function recordDecisions(
  target: pg.ClientBase,
  migration: Migration,
  epoch: bigint | null,
  found: DriftReport,
  shaped: (relation: Relation) => PlannedDefinition | null,
): Promise<void> {
  await writeFenced(target, migration, epoch, async () => {
    await dropRelations(target, migration, found.forget);
    for (const { id, to } of found.rename) await renameRelation(target, migration, id, to);
    const joining = found.joining.map(({ relation }) => relation);
    await registerRelations(target, migration, [...found.register, ...joining]);
    for (const { relation, pass } of found.joining) {
      const definition = shaped(relation);
      if (definition === null) continue;
      const { schema, name } = relation;
      await joinSnapshot(target, migration, [{ schema, name, definition }], pass);
    }
    await markForResync(target, migration, found.again);
    await markTreesForResync(target, migration, found.trees);
    await outdateSnapshots(target, migration);
  });
}

/** The definition of a table that joins the plan. Null for a table that has disappeared again. */
export function definitionOf(
  relation: Relation,
  sides: Sides,
  types: TypePairs,
): PlannedDefinition | null {
  const source = sides.definitions.get(relation.oid);
  const target = sides.there.get(keyOfName(destinationOf(relation)));
  return source && target ? plannedDefinition({ relation, target }, source, types) : null;
}
