/** Planner statistics for the copied tables: without them the first queries after a cutover may take minutes. */
import type pg from 'pg';
import type { Task } from './tasks.ts';

export interface AnalyzeTask extends Task {
  readonly sql: string;
}

/**
 * One task for every table of the migration that was not analyzed since its last index was built; partitions come with
 * their root.
 */
export async function analyzeTasks(
  target: pg.ClientBase,
  migration: string,
): Promise<AnalyzeTask[]> {
  const { rows } = await target.query<{ sql: string; label: string; pages: number; oid: string }>(
    /* sql */ `
    with named as (
      select schema_name, name from walferry.schema_entry where migration = $1 and kind = 'TABLE'
      union
      select schema_name, table_name from walferry.relation where migration = $1
    ), since as (
      select coalesce(max(e.done_at), max(m.created_at)) as at
        from walferry.migration m
        left join walferry.schema_entry e on e.migration = m.id and e.phase = 'indexes'
       where m.id = $1
    )
    select format('analyze %I.%I', n.nspname, c.relname) as sql,
           n.nspname || '.' || c.relname as label, c.relpages as pages, c.oid::text as oid
      from named
      join pg_catalog.pg_namespace n on n.nspname = named.schema_name
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = named.name
     where c.relkind in ('r', 'p') and not c.relispartition
       and (pg_catalog.pg_stat_get_last_analyze_time(c.oid) > (select at from since)) is not true`,
    [migration],
  );
  return rows.map((row) => ({
    id: Number(row.oid),
    depends: [],
    tables: [row.label],
    exclusive: true,
    weight: row.pages,
    label: `statistics of ${row.label}`,
    sql: row.sql,
  }));
}
