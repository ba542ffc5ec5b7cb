/**
 * How many locks one step may hold at once. All sessions of a server share one lock table; filling it makes the others fail (53200),
 * including the application's on the source. Settings determine its nominal size, and we take at most half of it.
 */
import type pg from 'pg';

/** Entries of the server's lock table, as its settings promise them. */
export async function lockCapacity(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ locks: number }>(/* sql */ `
    select pg_catalog.current_setting('max_locks_per_transaction')::int
         * (pg_catalog.current_setting('max_connections')::int
            + pg_catalog.current_setting('max_prepared_transactions')::int) as locks`);
  // The defaults give 6400. The floor only guards against nonsense.
  return Math.max(100, rows[0]?.locks ?? 0);
}

/**
 * How many objects a transaction may lock, of which each costs so many locks.
 * @param most for servers with room for more.
 */
export function within(capacity: number, locksEach: number, most = Infinity): number {
  return Math.max(1, Math.min(most, Math.floor(capacity / 2 / locksEach)));
}
