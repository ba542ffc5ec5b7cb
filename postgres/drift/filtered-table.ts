/**
 * Source tables that are not moved and that the output plugin filters. It scans that list for every change of any table (100,000
 * names cost a millisecond per change), so the list holds only tables whose changes would do harm or cost much:
 *
 * - tables without replica identity: their updates and deletes cause a WARNING, for which each table is looked up once. If there
 *   are many, only the largest are listed, and those whose names cannot be parsed from the text of the WARNING;
 * - the largest tables: their changes would only be discarded here;
 * - all tables with a TOAST table, if a change was too large for the source to print: the error does not name the table. A row
 *   without TOAST is never that large.
 */
import type pg from 'pg';
import type { TableName } from '../catalog/selection.ts';

export interface Outside {
  readonly tables: readonly TableName[];
  /** The source's next transaction id at the time of the query. */
  readonly from: string;
}

const MOST_LARGE = 20;
const MOST_UNREADABLE = 500;

/**
 * @param planned tables whose changes are wanted.
 * @param all whether to list every table whose rows can be too large to print.
 */
export async function readOutside(
  source: pg.ClientBase,
  planned: readonly { readonly oid: number }[],
  all: boolean,
): Promise<Outside> {
  const { rows } = await source.query<{ from: string; tables: TableName[] }>(
    /* sql */ `
    with other as (
      select n.nspname as schema, c.relname as name,
             c.relkind = 'r' and (c.relreplident = 'n' or (c.relreplident = 'd' and not exists (
               select from pg_catalog.pg_index i
                where i.indrelid = c.oid and i.indisprimary and i.indimmediate))) as unreadable,
             c.reltoastrelid <> 0 as large,
             -- Estimates, because the size functions take a lock.
             row_number() over (order by c.relpages + coalesce(t.relpages, 0) desc, c.oid) as place
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        left join pg_catalog.pg_class t on t.oid = c.reltoastrelid
       where c.relkind in ('r', 'm') and c.relpersistence = 'p' and not c.oid = any($1::oid[])
         and n.nspname not in ('pg_catalog', 'information_schema'))
    select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text as from,
           (select coalesce(json_agg(json_build_object('schema', schema, 'name', name)), '[]')
              from (select *, row_number() over (partition by unreadable order by place) as among from other) listed
             where $3 and large or place <= $2
                or unreadable and (among <= $4 or strpos(schema, '"."') + strpos(name, '"."') > 0)) as tables`,
    [planned.map(({ oid }) => oid), MOST_LARGE, all, MOST_UNREADABLE],
  );
  const [row] = rows;
  return row ?? { from: '0', tables: [] };
}
