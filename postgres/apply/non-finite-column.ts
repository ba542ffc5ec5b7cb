/** Columns whose null in the stream may be NaN, Infinity or -Infinity: wal2json before 2.6 (non-finite.ts). */
import type { PlannedColumn, PlannedRelation } from './change.ts';

const EXPOSED_TYPES: ReadonlySet<string> = new Set(['real', 'double precision', 'numeric']);
export const NON_FINITE_NUMBERS: ReadonlySet<string> = new Set(['NaN', 'Infinity', '-Infinity']);

const exposedByRelation = new WeakMap<PlannedRelation, ReadonlyMap<string, PlannedColumn>>();

/** By name. */
export function nonFiniteColumns(relation: PlannedRelation): ReadonlyMap<string, PlannedColumn> {
  let exposed = exposedByRelation.get(relation);
  if (!exposed) {
    exposed = new Map(
      relation.columns.filter((column) => isExposed(column)).map((column) => [column.name, column]),
    );
    exposedByRelation.set(relation, exposed);
  }
  return exposed;
}

/** The plugin checks the column's declared type: `numeric` and `numeric(10,2)`, not a domain over them. */
function isExposed({ typeName, baseTypeName, generated }: PlannedColumn): boolean {
  if (generated || !EXPOSED_TYPES.has(baseTypeName)) return false;
  return typeName === baseTypeName || typeName.startsWith(`${baseTypeName}(`);
}
