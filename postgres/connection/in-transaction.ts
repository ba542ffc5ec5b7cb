/** Transactions on one session. */
import pg from 'pg';

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

/** Runs the work in a transaction that is rolled back in any case: what only reads, or only tries. */
export async function rolledBack<T>(
  client: pg.ClientBase,
  work: () => Promise<T>,
  begin = 'begin',
): Promise<T> {
  await client.query(begin);
  try {
    return await work();
  } finally {
    // The result stays valid if the connection is lost now, and an error is the one to report.
    await client.query('rollback').catch(() => undefined);
  }
}

/**
 * Runs the work in a savepoint of the open transaction, which stays usable when the server refuses the work.
 * @param tolerated SQLSTATEs with which the work is undone; other errors are thrown.
 * @returns the SQLSTATE of the refusal; null when the work is done.
 */
export async function inSavepoint(
  client: pg.ClientBase,
  work: () => Promise<unknown>,
  tolerated: (state: string) => boolean,
): Promise<string | null> {
  await client.query('savepoint attempt');
  try {
    await work();
    await client.query('release savepoint attempt');
    return null;
  } catch (error) {
    const state = error instanceof pg.DatabaseError ? error.code : undefined;
    if (state === undefined || !tolerated(state)) throw error;
    await client.query('rollback to savepoint attempt; release savepoint attempt');
    return state;
  }
}
