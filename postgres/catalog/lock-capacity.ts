/**
 * How many locks one step may hold at once. All sessions of a server share one lock table; filling it makes the others fail
 * (53200), including the application's on the source. Settings determine its nominal size, and we take at most half of it.
 */
import type pg from 'pg';

export interface LockTable {
  /** `max_locks_per_transaction`. */
  readonly perTransaction: number;
  /** Sessions and prepared transactions; each adds `perTransaction` entries. */
  readonly sessions: number;
}

export async function readLockTable(client: pg.ClientBase): Promise<LockTable> {
  const { rows } = await client.query<LockTable>(/* sql */ `
    select pg_catalog.current_setting('max_locks_per_transaction')::int as "perTransaction",
           pg_catalog.current_setting('max_connections')::int
            + pg_catalog.current_setting('max_prepared_transactions')::int as sessions`);
  return rows[0] ?? { perTransaction: 0, sessions: 0 };
}

/** 6400 with default settings. The floor guards against implausible settings. */
export function entriesOf({ perTransaction, sessions }: LockTable): number {
  return Math.max(100, perTransaction * sessions);
}

/** The `max_locks_per_transaction` with which this many locks fill at most half of the table. */
export function perTransactionFor(locks: number, { sessions }: LockTable): number {
  return Math.ceil((2 * locks) / Math.max(1, sessions));
}

/**
 * How many objects a transaction of these sessions may lock if each takes `locksEach` locks: at most half of the lock table, of the
 * smaller one if there are several.
 */
export async function lockableObjects(
  sessions: readonly pg.ClientBase[],
  locksEach: number,
  most = Infinity,
): Promise<number> {
  const sizes = [];
  for (const session of sessions) sizes.push(entriesOf(await readLockTable(session)));
  return fitting(Math.min(...sizes), locksEach, most);
}

/** {@link lockableObjects} of a table with this many entries. */
export function fitting(entries: number, locksEach: number, most = Infinity): number {
  return Math.max(1, Math.min(most, Math.floor(entries / 2 / locksEach)));
}
