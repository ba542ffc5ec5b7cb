/** Columns in which wal2json before 2.6 sends non-finite numbers as null. */
import type { Relation } from '../../catalog/relation.ts';

/** float4, float8, numeric. Domains over them, arrays and composites are sent as text and are safe. */
const NON_FINITE_TYPES = new Set([700, 701, 1700]);

/** Names of the columns in which a null may be a non-finite number. */
export function nonFiniteColumns({ columns }: Relation): string[] {
  return columns.filter(({ typeOid }) => NON_FINITE_TYPES.has(typeOid)).map(({ name }) => name);
}
