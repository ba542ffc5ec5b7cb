/** Which tables need statistics: those that were not analyzed since their indexes were built. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { PLANNED_NAMES } from './planned-relation.ts';

export interface DueTable {
  /** Quoted name. */
  readonly table: string;
  readonly label: string;
  readonly pages: number;
  readonly oid: string;
}

/** Tables of the migration on the target; partitions are analyzed with their parents. */
export async function readDueForAnalyze(
  target: pg.ClientBase,
  { id }: Migration,
): Promise<DueTable[]> {
  const { rows } = await target.query<DueTable>(
    /* sql */ `
    with named as (
      select schema_name, name from walferry.schema_entry where migration = $1 and kind = 'TABLE'
      union
      ${PLANNED_NAMES}
    ), since as (
      select coalesce(max(e.done_at), max(m.created_at)) as at
        from walferry.migration m
        left join walferry.schema_entry e on e.migration = m.id and e.phase = 'indexes'
       where m.id = $1
    )
    select format('%I.%I', n.nspname, c.relname) as table,
           n.nspname || '.' || c.relname as label, c.relpages as pages, c.oid::text as oid
      from named
      join pg_catalog.pg_namespace n on n.nspname = named.schema_name
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = named.name
     where c.relkind in ('r', 'p') and not c.relispartition
       and (pg_catalog.pg_stat_get_last_analyze_time(c.oid) > (select at from since)) is not true`,
    [id],
  );
  return rows;
}
