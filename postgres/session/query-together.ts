/** Several statements in one round trip. */
import type pg from 'pg';

/**
 * Runs statements without parameters, in order, up to the first that fails. In an open transaction each is a separate statement,
 * with its own snapshot if the isolation level uses one per statement.
 * @returns the rows of the last one.
 */
export async function queryTogether<T extends pg.QueryResultRow>(
  client: pg.ClientBase,
  statements: string,
): Promise<T[]> {
  return lastOf(await client.query<T>(statements))?.rows ?? [];
}

/** The driver returns one result per statement when there are several. */
function lastOf<T extends pg.QueryResultRow>(
  result: pg.QueryResult<T> | readonly pg.QueryResult<T>[],
): pg.QueryResult<T> | undefined {
  return 'rows' in result ? result : result.at(-1);
}
