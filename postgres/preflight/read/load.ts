/** Load and age of a server: connections, WAL, transaction ids. */
import type pg from 'pg';

export interface SessionCounts {
  /** The smallest limit for our role: the server's, the database's or the role's. */
  readonly most: number;
  readonly used: number;
}

export interface AgeFacts {
  /** Of the cluster's oldest database: wraparound protection stops all databases. */
  readonly xids: number;
  readonly multixacts: number;
}

export interface WalFacts {
  /** `max_slot_wal_keep_size`; null if unlimited. */
  readonly keepBytes: number | null;
  /** WAL written since the last statistics reset; null before 14. */
  readonly written: { readonly bytes: number; readonly seconds: number } | null;
  /** `idle_replication_slot_timeout` (from 18 on); 0 if unlimited. */
  readonly idleTimeoutSeconds: number;
  /** `logical_decoding_work_mem` of our sessions: a larger transaction spills to disk on the source. Null: the server lacks it. */
  readonly decodingBytes: number | null;
  /** `shared_buffers`: the only sign of a server's memory in SQL. */
  readonly bufferBytes: number;
}

export async function readSessions(client: pg.ClientBase): Promise<SessionCounts> {
  const { rows } = await client.query<SessionCounts>(/* sql */ `
    select least(
             current_setting('max_connections')::int4 - case when r.rolsuper then 0 else
               current_setting('superuser_reserved_connections')::int4
               + coalesce(current_setting('reserved_connections', true), '0')::int4 end,
             case when d.datconnlimit >= 0 and not r.rolsuper then d.datconnlimit end,
             case when r.rolconnlimit >= 0 and not r.rolsuper then r.rolconnlimit end)::int4 as most,
           (select count(*)::int4 from pg_catalog.pg_stat_activity
             where backend_type is null or backend_type = 'client backend') as used
      from pg_catalog.pg_database d, pg_catalog.pg_roles r
     where d.datname = current_database() and r.rolname = current_user`);
  return rows[0] ?? { most: 0, used: 0 };
}

export async function readAge(client: pg.ClientBase): Promise<AgeFacts> {
  const { rows } = await client.query<AgeFacts>(/* sql */ `
    select max(age(datfrozenxid))::float8 as xids, max(mxid_age(datminmxid))::float8 as multixacts
      from pg_catalog.pg_database`);
  return rows[0] ?? { xids: 0, multixacts: 0 };
}

export async function readWal(client: pg.ClientBase, major: number): Promise<WalFacts> {
  const { rows } = await client.query<{
    keep: number | null;
    idle: number;
    decoding: number | null;
    buffers: number;
  }>(/* sql */ `
    select (select nullif(setting, '-1')::float8 * 1024 * 1024 from pg_catalog.pg_settings
             where name = 'max_slot_wal_keep_size') as keep,
           coalesce((select extract(epoch from current_setting('idle_replication_slot_timeout')::interval)
                       from pg_catalog.pg_settings
                      where name = 'idle_replication_slot_timeout' and setting <> '0'), 0)::float8 as idle,
           pg_catalog.pg_size_bytes(current_setting('logical_decoding_work_mem', true))::float8 as decoding,
           pg_catalog.pg_size_bytes(current_setting('shared_buffers'))::float8 as buffers`);
  let written: WalFacts['written'] = null;
  if (major >= 14) {
    const found = await client.query<{ bytes: number; seconds: number }>(/* sql */ `
      select wal_bytes::float8 as bytes,
             extract(epoch from clock_timestamp() - stats_reset)::float8 as seconds
        from pg_catalog.pg_stat_wal where stats_reset is not null`);
    written = found.rows[0] ?? null;
  }
  const [row] = rows;
  return {
    keepBytes: row?.keep ?? null,
    idleTimeoutSeconds: row?.idle ?? 0,
    decodingBytes: row?.decoding ?? null,
    bufferBytes: row?.buffers ?? 0,
    written,
  };
}
