/** A row that violates partition bounds: the server reports SQLSTATE 23514 as for a check constraint, but without a name. */
import pg from 'pg';

const CHECK_VIOLATION = '23514';

export const BEYOND_BOUNDS =
  'the partition bounds on the target reject it: bounds, functions, enum labels or collations differ from the source; make the bounds match, or start again with tables.viaPartitionRoot';

export function isBeyondBounds(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError) || error.code !== CHECK_VIOLATION) return false;
  return (
    error.constraint === undefined && error.dataType === undefined && error.table !== undefined
  );
}
