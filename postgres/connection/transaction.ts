/** Transactions on one session. */
import type pg from 'pg';

/**
 * Runs the work in a transaction and commits it; rolls back if the work fails.
 * @param begin the statements that open it, for an isolation level or settings of this transaction.
 */
export async function inTransaction<T>(
  client: pg.ClientBase,
  work: () => Promise<T>,
  begin = 'begin',
): Promise<T> {
  try {
    await client.query(begin);
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    // The first error is the one to report; a closed connection cannot be rolled back.
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}
