/**
 * Columns that were added to the control schema after its first version. A migration that workers of an earlier version started
 * lacks them, and `create table if not exists` does not add them. Without this, workers of this version, which `walferry replay`
 * allows to continue the migration, would fail at the first read (42703), after hours of copying.
 */
import type pg from 'pg';
import { CREATE_CUTOVER_CALL } from './cutover-call.ts';
import { CREATE_THROTTLE } from './throttle.ts';

/** Table, column, type. Add every new column of the control schema here; null must mean the earlier behaviour. */
const ADDED = [
  ['relation', 'root_schema', 'text'],
  ['relation', 'root_name', 'text'],
  ['migration', 'withheld', 'jsonb'],
  ['schema_entry', 'refresh_state', 'text'],
  ['migration', 'commit_lsn', 'pg_lsn'],
  ['migration', 'commit_xid', 'bigint'],
  ['migration', 'commit_at', 'text'],
  ['exported_snapshot', 'mark_lsn', 'pg_lsn'],
  ['exported_snapshot', 'mark', 'text'],
  ['disabled_trigger', 'object', 'oid'],
  ['disabled_trigger', 'made', 'boolean'],
  ['migration', 'source_schemas', 'jsonb'],
  ['throttle', 'guard_at', 'timestamptz'],
  ['migration', 'outdated', 'integer'],
  ['schema_entry', 'source_class', 'oid'],
  ['schema_entry', 'source_oid', 'oid'],
  ['schema_entry', 'was_empty', 'boolean'],
  ['migration', 'released_lsn', 'pg_lsn'],
] as const;
/** Inserts the rows at once: a later insert would wait for a batch that locks the row it references. */
const ADD_THROTTLE = /* sql */ `
  ${CREATE_THROTTLE}
  insert into walferry.throttle (migration) select id from walferry.migration on conflict do nothing`;
/** Another transaction may have read the table; then the activity is retried. */
const LOCK_TIMEOUT_MS = 5_000;

/** Adds missing columns and tables. Call outside of a transaction. One query if nothing is missing. */
export async function addMissingColumns(target: pg.ClientBase): Promise<void> {
  const { rows } = await target.query<{ sql: string }>(
    /* sql */ `
    select $4 as sql
     where to_regclass('walferry.migration') is not null and to_regclass('walferry.copier') is null
    union all
    select $5
     where to_regclass('walferry.migration') is not null
       and to_regclass('walferry.cutover_call') is null
    union all
    select format('alter table walferry.%I add column if not exists %I %s', w.tab, w.col, w.type) as sql
      from unnest($1::text[], $2::text[], $3::text[]) as w (tab, col, type)
      join pg_catalog.pg_class c on c.oid = to_regclass(format('walferry.%I', w.tab))
     where not exists (select from pg_catalog.pg_attribute a
                        where a.attrelid = c.oid and a.attname = w.col and not a.attisdropped)`,
    [
      ADDED.map(([table]) => table),
      ADDED.map(([, column]) => column),
      ADDED.map(([, , t]) => t),
      ADD_THROTTLE,
      CREATE_CUTOVER_CALL,
    ],
  );
  if (rows.length === 0) return;
  // Several statements in one simple query are one transaction.
  const statements = rows.map(({ sql }) => sql).join('; ');
  // Two steps may add the same column at once: `if not exists` does not keep the second from failing on the first one's row.
  await target.query(/* sql */ `
    set local lock_timeout = ${LOCK_TIMEOUT_MS};
    select pg_advisory_xact_lock(hashtext('walferry.columns'));
    ${statements}`);
}
