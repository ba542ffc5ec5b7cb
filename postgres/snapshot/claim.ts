/**
 * Chunks at work on the target. Whoever copies a chunk holds an advisory lock for it, so that its backend is known to the next
 * attempt: a worker that was stopped or cut off sits in an open transaction and would keep the chunk's row locked for ever.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { queryTogether } from '../connection/together.ts';

/** An ended backend rolls back its COPY at once. */
const DEADLINE_MS = 20_000;
/**
 * For so long a session spares one that began after it: that is the attempt which overtook it while its machine was frozen.
 * Not for good, because start times come from a clock that can be set back.
 */
const SPARED_MS = 10_000;
const POLL_MS = 20;

/**
 * Begins a transaction and claims the chunk until it ends, and ends the backend of an earlier attempt that has it. One that wakes up
 * after it was overtaken waits instead, and then finds the chunk marked.
 * @throws MigrationError `Contention` when that one does not go.
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
    await endCopiers(target, migration, [chunk], spared ? 'earlier' : 'all');
    if (performance.now() > deadline) {
      throw new MigrationError(
        'Contention',
        `chunk ${chunk} stayed in the hands of an earlier attempt`,
      );
    }
    await sleep(POLL_MS);
  }
}

/** Ends the backends that copy these chunks, or those of them that began before this session. @returns how many. */
export async function endCopiers(
  target: pg.ClientBase,
  migration: Migration,
  chunks: readonly number[],
  which: 'all' | 'earlier' = 'all',
): Promise<number> {
  const { rowCount } = await target.query(
    /* sql */ `
    select pg_terminate_backend(l.pid)
      from pg_catalog.pg_locks l join pg_catalog.pg_database d on d.oid = l.database
     where d.datname = current_database() and l.locktype = 'advisory' and l.objsubid = 2 and l.granted
       and l.classid = (hashtext($1)::bigint & 4294967295)::oid and l.objid::bigint = any($2::bigint[])
       and l.pid <> pg_backend_pid()
       and ($3 = 'all' or (select s.backend_start from pg_catalog.pg_stat_activity s where s.pid = l.pid)
                        < (select s.backend_start from pg_catalog.pg_stat_activity s where s.pid = pg_backend_pid()))`,
    [migration.id, chunks, which],
  );
  return rowCount ?? 0;
}
