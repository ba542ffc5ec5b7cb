/**
 * Claims on chunks. A session that copies a chunk holds an advisory lock for it on the target, so that the next attempt can find
 * its backend: a worker that is frozen or cut off would otherwise keep the chunk's row locked in an open transaction forever.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { endBackends, type Backends } from '../connection/backends.ts';
import { queryTogether } from '../session/query-together.ts';

/** A terminated backend rolls back its COPY at once. */
const DEADLINE_MS = 20_000;
/**
 * During this time a session does not terminate one that started later: that is the attempt that superseded it while its machine
 * was frozen. Not forever, because start times come from a clock that can be set back.
 */
const SPARED_MS = 10_000;
const POLL_MS = 20;

/**
 * Begins a transaction, claims the chunk until its end, and terminates the backend of an earlier attempt that has the claim. An
 * attempt that wakes up after it was superseded waits instead, and then finds the chunk marked.
 * @throws MigrationError `Contention` if the claim is not released.
 */
export async function beginClaiming(
  target: pg.ClientBase,
  migration: Migration,
  chunk: number,
): Promise<void> {
  const began = performance.now();
  const deadline = began + DEADLINE_MS;
  const tryToClaim = /* sql */ `select pg_try_advisory_xact_lock(hashtext(${pg.escapeLiteral(migration.id)}), ${chunk}) as mine`;
  let statements = `begin; ${tryToClaim}`;
  for (;;) {
    const [row] = await queryTogether<{ mine: boolean }>(target, statements);
    if (row?.mine === true) return;
    statements = tryToClaim;
    const spared = performance.now() < began + SPARED_MS;
    await endBackends(target, copiersOf(migration, [chunk], spared ? 'earlier' : 'all'));
    if (performance.now() > deadline) {
      throw new MigrationError(
        'Contention',
        `chunk ${chunk} is still claimed by another attempt after ${DEADLINE_MS / 1000} s`,
      );
    }
    await sleep(POLL_MS);
  }
}

/**
 * The backends that copy these chunks; `earlier`: only those that started before the asking session. Found by their claims and
 * not as the earlier attempts of a step are (session.ts): several runs of a pass copy at the same time, and an attempt must not
 * end those of other chunks.
 */
export function copiersOf(
  migration: Migration,
  chunks: readonly number[],
  which: 'all' | 'earlier' = 'all',
): Backends {
  return {
    pids: /* sql */ `
      select l.pid
        from pg_catalog.pg_locks l join pg_catalog.pg_database d on d.oid = l.database
       where d.datname = current_database() and l.locktype = 'advisory' and l.objsubid = 2 and l.granted
         and l.classid = (hashtext($1)::bigint & 4294967295)::oid and l.objid::bigint = any($2::bigint[])
         and ($3 = 'all' or (select s.backend_start from pg_catalog.pg_stat_activity s where s.pid = l.pid)
                          < (select s.backend_start from pg_catalog.pg_stat_activity s where s.pid = pg_backend_pid()))`,
    values: [migration.id, chunks, which],
  };
}
