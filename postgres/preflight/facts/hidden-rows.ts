/** Selected tables with rows that policies hide from the role. */
import type { TableName } from '../../catalog/selection.ts';
import { shared, type SourceReading } from '../reading.ts';
import { selectedOids } from './selected.ts';

export const rowSecurity = shared(async (of: SourceReading): Promise<TableName[]> => {
  const { rows } = await of.client.query<TableName>(
    /* sql */ `
    select n.nspname as schema, c.relname as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     -- Not row_security_active(): it depends on row_security, which our sessions turn off.
     where c.oid = any($1::oid[]) and c.relrowsecurity
       and not (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user)
       and (c.relforcerowsecurity or not pg_has_role(c.relowner, 'usage'))
     order by 1, 2`,
    [await selectedOids(of)],
  );
  return rows;
});
