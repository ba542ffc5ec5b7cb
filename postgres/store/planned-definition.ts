/**
 * What is recorded of a table when the stream starts to follow it: with its copy, or when a partition joins its tree without one.
 */
import type { Keeper } from '../catalog/table-file.ts';
import type { Relation } from '../catalog/relation.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';
import type { TypePairs } from '../catalog/type-pair.ts';
import { recordTypes } from '../catalog/type-record.ts';
import { numbersOf, type PlannedDefinition } from './planned-relation.ts';

/** @param keeper unset: the next drift check records the target's file. */
export function plannedDefinition(
  { relation, target }: { readonly relation: Relation; readonly target: Relation },
  source: TableDefinition,
  types: TypePairs,
  keeper?: Keeper,
): PlannedDefinition {
  return {
    ...{ source, key: relation.key, target: numbersOf(target) },
    ...(keeper && { keeper }),
    types: recordTypes(types.columns(relation, target), types),
  };
}
