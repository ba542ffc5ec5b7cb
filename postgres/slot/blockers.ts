/**
 * Transactions that block a slot or a snapshot: older open ones with an id, in any database of the cluster. Only pids, ages and
 * names of prepared transactions: their statements may contain data.
 */
import { listed } from '../../contract/listed.ts';
import type pg from 'pg';

export interface Blocker {
  /** Null for a prepared transaction, which no longer has a session. */
  readonly pid: number | null;
  /** Name of the prepared transaction, null for a session. */
  readonly prepared: string | null;
  readonly database: string;
  /** Time since the transaction began (or was prepared). */
  readonly seconds: number;
}

const NAMED = 5;

/**
 * Open transactions that have an id, oldest first. This role may not see those of other roles.
 * @param limit only ids below this; null: all.
 */
export async function readBlockers(
  client: pg.ClientBase,
  limit: bigint | null,
): Promise<Blocker[]> {
  const { rows } = await client.query<Blocker>(
    /* sql */ `
    select pid, null::text as prepared, coalesce(datname, '') as database,
           extract(epoch from clock_timestamp() - xact_start)::float8 as seconds
      from pg_catalog.pg_stat_activity
     where backend_xid is not null and ($1::text is null or age(backend_xid) > age($1::text::xid8::xid)) and pid <> pg_backend_pid()
    union all
    select null, gid, database, extract(epoch from clock_timestamp() - prepared)::float8
      from pg_catalog.pg_prepared_xacts
     where $1::text is null or age(transaction) > age($1::text::xid8::xid)
     order by 4 desc nulls last`,
    [limit === null ? null : limit.toString()],
  );
  return rows;
}

/** For messages and heartbeats: `pid 4711 (open for 12 s), prepared transaction "x" (for 3600 s) and 2 more`. */
export function renderBlockers(blockers: readonly Blocker[]): string {
  if (blockers.length === 0) return 'transactions that this role cannot see';
  const texts = blockers.map(({ pid, prepared, seconds }) => {
    const age = `${Math.max(0, Math.round(seconds))} s`;
    return prepared === null
      ? `pid ${pid} (open for ${age})`
      : `prepared transaction "${prepared}" (for ${age})`;
  });
  return listed(texts, NAMED);
}

/** Pids for a failure's details. */
export function pidsOf(blockers: readonly Blocker[]): number[] {
  return blockers.flatMap(({ pid }) => (pid === null ? [] : [pid]));
}
