/**
 * Who writes: every transaction that holds ROW EXCLUSIVE or a stronger lock on one of the tables, by its virtual transaction id,
 * prepared ones included. Each write takes its lock before its triggers fire and keeps it until the transaction ends, so whoever
 * is not listed after the fence was armed has either ended or will see the armed function.
 *
 * `pg_locks` reads the fast-path locks of each backend before the shared table, and a lock only moves from there to here: it cannot
 * be missed, only seen twice.
 */
import type pg from 'pg';
import { listed } from '../../contract/listed.ts';
import { MOST_NAMED } from '../../contract/fence.ts';

/** What a write takes, and what DDL that changes rows takes. VACUUM and ANALYZE take SHARE UPDATE EXCLUSIVE: no writers. */
const HOLDERS = /* sql */ `
select l.virtualtransaction as id, min(l.pid) as pid
  from pg_catalog.pg_locks l
 where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_catalog.pg_backend_pid()
   and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
   and l.relation = any($1::oid[])
   and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
 group by 1`;

export interface Writer {
  /** Virtual transaction id: never used again while the server runs. Before 14 a transaction that is prepared gets another. */
  readonly id: string;
  /** Null: a prepared transaction. */
  readonly pid: number | null;
}

/** The transactions that write to these tables now, without this session's. */
export async function readWriters(
  client: pg.ClientBase,
  oids: readonly number[],
): Promise<Writer[]> {
  // Polled: planned once.
  const { rows } = await client.query<Writer>({
    name: 'walferry_fence_writers',
    text: HOLDERS,
    values: [oids],
  });
  return rows;
}

/** Joins who they are to writers `l`: sessions `a`, prepared transactions `x`. */
const IDENTIFIED = /* sql */ `
  left join pg_catalog.pg_stat_activity a on a.pid = l.pid
  -- A prepared transaction has no backend; it still holds the lock on its own transaction id.
  left join pg_catalog.pg_locks t on l.pid is null and t.pid is null and t.virtualtransaction = l.id
                                  and t.locktype = 'transactionid' and t.mode = 'ExclusiveLock'
  left join pg_catalog.pg_prepared_xacts x on x.transaction = t.transactionid`;

const NAMES = /* sql */ `
select l.id, l.pid, coalesce(a.usename, x.owner)::text as "user", coalesce(a.application_name, '') as application,
       pg_catalog.to_char(coalesce(a.xact_start, x.prepared) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since,
       x.gid
  from unnest($1::text[], $2::int4[]) as l (id, pid) ${IDENTIFIED}`;

interface Named extends Writer {
  readonly user: string | null;
  readonly application: string;
  readonly since: string | null;
  readonly gid: string | null;
}

/** For a message: `pid 4711 (user app, application "shop", since …)`. */
export async function nameWriters(
  client: pg.ClientBase,
  writers: readonly Writer[],
): Promise<string> {
  const some = writers.slice(0, MOST_NAMED);
  const { rows } = await client.query<Named>(NAMES, [
    some.map(({ id }) => id),
    some.map(({ pid }) => pid),
  ]);
  return listed(rows.map(describe), MOST_NAMED, '; ', writers.length);
}

function describe({ pid, user, application, since, gid }: Named): string {
  const who = `user ${user ?? 'unknown'}`;
  const when = since === null ? '' : `, since ${since}`;
  if (pid === null) return `prepared transaction "${gid ?? 'unknown'}" (${who}${when})`;
  return `pid ${pid} (${who}, application_name "${application}"${when})`;
}

/** Ages are of the transactions, not of their locks: a role without pg_read_all_stats does not see those of others' sessions. */
const AGES = /* sql */ `
with l as materialized (${HOLDERS})
select l.pid, coalesce(a.usename, x.owner)::text as "user", coalesce(a.application_name, '') as application,
       greatest(0, extract(epoch from pg_catalog.clock_timestamp() - coalesce(a.xact_start, x.prepared)))::float8 as seconds
  from l ${IDENTIFIED}
 where coalesce(a.xact_start, x.prepared) is not null
 order by coalesce(a.xact_start, x.prepared)`;

export interface AgedWriter extends Pick<Named, 'pid' | 'user' | 'application'> {
  readonly seconds: number;
}

/** How long the transactions that a proof would wait for have been open, the oldest first; without those whose age is hidden. */
export async function readWriterAges(
  client: pg.ClientBase,
  oids: readonly number[],
): Promise<AgedWriter[]> {
  return (await client.query<AgedWriter>(AGES, [oids])).rows;
}
