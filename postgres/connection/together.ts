/** Several statements in one round trip. */
import type pg from 'pg';

/**
 * Runs statements that need no parameters, in order, the rest of them not after one that failed. In an open transaction each is a
 * statement of its own, with a snapshot of its own if the isolation level has it so.
 * @returns the rows of the last one.
 */
export async function queryTogether<T extends pg.QueryResultRow>(
  client: pg.ClientBase,
  statements: string,
): Promise<T[]> {
  return lastOf(await client.query<T>(statements))?.rows ?? [];
}

/** The driver answers with one result for each statement, where there are several. */
function lastOf<T extends pg.QueryResultRow>(
  result: pg.QueryResult<T> | readonly pg.QueryResult<T>[],
): pg.QueryResult<T> | undefined {
  return 'rows' in result ? result : result.at(-1);
}
