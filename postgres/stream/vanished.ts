/**
 * Changes under a name that is gone now. Most are of scratch tables. But a schema may have been renamed and renamed back: then they
 * are changes of a table of the plan. Its own catalog rows do not show that (catalog/shape.ts shows a table's own names), and the row
 * of the schema is written by every GRANT, too; so both together count: the same table name, and a schema whose row was written in
 * the transaction of the change or later.
 */
import type pg from 'pg';
import type { TableName } from '../catalog/selection.ts';
import type { Met, Route } from './filter.ts';

/** A table of the plan, and the other name under which its changes may have come. */
export interface Namesake<Table extends TableName> {
  readonly table: Table;
  readonly as: TableName;
}

/** @param vanished names of which changes were left out, without a table now. */
export async function renamedSchemas<Table extends TableName & Pick<Route, 'copied'>>(
  source: pg.ClientBase,
  tables: readonly Table[],
  vanished: readonly Met[],
): Promise<Namesake<Table>[]> {
  const namesakes = tables.flatMap((table) =>
    vanished.flatMap((as) => {
      if (as.name !== table.name || as.schema === table.schema) return [];
      // What the table's copy holds is not missing: without this it would be copied again and again.
      const missing = [...as.commits].filter(([xid, lsn]) => !table.copied(xid, lsn));
      return missing.length === 0 ? [] : [{ table, as, xids: missing.map(([xid]) => xid) }];
    }),
  );
  if (namesakes.length === 0) return [];
  const { rows } = await source.query<{ at: number }>(
    /* sql */ `
    select given.at::int as at
      from unnest($1::text[], $2::text[]) with ordinality as given (schema, xids, at)
      join pg_catalog.pg_namespace n on n.nspname = given.schema
     where pg_catalog.age(n.xmin) <= (select max(pg_catalog.age(x::text::xid)) from unnest(given.xids::text[]) as x)`,
    [
      namesakes.map(({ table }) => table.schema),
      namesakes.map(({ xids }) => `{${xids.join(',')}}`),
    ],
  );
  const written = new Set(rows.map(({ at }) => at - 1));
  return namesakes.filter((_, at) => written.has(at));
}
