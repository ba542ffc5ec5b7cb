/** Locks of the final check: waits briefly, then fails and names them, so that downtime is not spent silently behind DDL. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';

/** The same as for the copy's plan. */
export const LOCK_TIMEOUT_MS = 5_000;
const SHOWN_BLOCKERS = 5;

/**
 * Runs a read that needs table sizes, on a session with this lock_timeout; fails naming the DDL or `lock table` that blocks it.
 * @throws MigrationError `Contention`.
 */
export async function withoutWaiting<T>(source: pg.ClientBase, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (sqlstate(error) !== SQLSTATE.lockNotAvailable) throw error;
    const { rows } = await source.query<{ name: string; pid: number | null }>(/* sql */ `
      select n.nspname || '.' || c.relname as name, l.pid
        from pg_catalog.pg_locks l
        join pg_catalog.pg_class c on c.oid = l.relation and c.relkind in ('r', 'p')
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       where l.granted and l.mode = 'AccessExclusiveLock'
         and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
       order by 1 limit ${SHOWN_BLOCKERS}`);
    const blockers = rows.map(
      ({ name, pid }) => `${name} (${pid === null ? 'prepared transaction' : `pid ${pid}`})`,
    );
    throw new MigrationError(
      'Contention',
      `checking for changes after the end mark: tables on the source stayed locked for ${LOCK_TIMEOUT_MS / 1000} s (ACCESS EXCLUSIVE: ${blockers.join(', ') || 'ended just now'}); end those transactions`,
      { sqlstate: SQLSTATE.lockNotAvailable, table: rows[0]?.name ?? '' },
      error,
    );
  }
}
