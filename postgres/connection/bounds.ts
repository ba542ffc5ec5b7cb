/** A row that violates partition bounds: the server reports it with the code of a check constraint, but without a name. */
import pg from 'pg';

const CHECK_VIOLATION = '23514';

/** For messages. */
export const BEYOND_BOUNDS =
  "the bounds of the target's partition reject it, because bounds, functions, labels or collations differ from the source; make the bounds match, or start again with tables.viaPartitionRoot";

/** Whether this is what the server said. */
export function isBeyondBounds(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError) || error.code !== CHECK_VIOLATION) return false;
  return (
    error.constraint === undefined && error.dataType === undefined && error.table !== undefined
  );
}
