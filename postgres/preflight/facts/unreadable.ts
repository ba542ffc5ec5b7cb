/** What the role may not read on the source. */
import type { TableName } from '../../catalog/selection.ts';
import { shared, type SourceReading } from '../reading.ts';
import { selectedOids } from './selected.ts';
import { ofExtension, USERS } from './user-object.ts';

export interface TableRight extends TableName {
  readonly selected: boolean;
}

/** Also unselected tables: pg_dump locks them. */
export const unreadable = shared(async (of: SourceReading): Promise<TableRight[]> => {
  const { rows } = await of.client.query<TableRight>(
    /* sql */ `
    select n.nspname as schema, c.relname as name, c.oid = any($1::oid[]) as selected
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and c.relpersistence <> 't' and ${USERS}
       and not (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))
       -- pg_dump does not lock an extension's member tables.
       and not ${ofExtension('pg_class', 'c.oid')}
     order by 1, 2`,
    [await selectedOids(of)],
  );
  return rows;
});

export const unreadableSequences = shared(async (of: SourceReading): Promise<TableName[]> => {
  const { rows } = await of.client.query<TableName>(/* sql */ `
    select n.nspname as schema, c.relname as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'S' and c.relpersistence <> 't' and ${USERS}
       and not (has_schema_privilege(n.oid, 'usage') and has_sequence_privilege(c.oid, 'select'))
     order by 1, 2`);
  return rows;
});
