/** Row security that waits for the cutover (schema/restored-row-security.ts), stored as entries of the schema. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { TableName } from '../catalog/selection.ts';

export interface RowSecurity extends TableName {
  readonly id: number;
}

/** Row security entries with the current names of their tables: by oid where that is known. */
const SECURED = /* sql */ `
select e.id, n.nspname as schema, c.relname as name
  from walferry.schema_entry e
  join pg_catalog.pg_class c on c.oid = coalesce((select k.oid from pg_catalog.pg_class k where k.oid = e.added),
         pg_catalog.to_regclass(pg_catalog.format('%I.%I', e.schema_name, e.name)))
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where e.migration = $1 and e.kind = 'ROW SECURITY'`;

/** Records the oid of the table whose row security waits: the table may be renamed before the cutover. */
export async function noteSecured(
  target: pg.ClientBase,
  migration: Migration,
  id: number,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.schema_entry
       set added = pg_catalog.to_regclass(pg_catalog.format('%I.%I', schema_name, name))::oid
     where migration = $1 and id = $2 and added is null`,
    [migration.id, id],
  );
}

/** Tables of the target whose row security waits for the end of the cutover. */
export async function readWaitingRowSecurity(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
): Promise<RowSecurity[]> {
  const { rows } = await target.query<RowSecurity>(
    /* sql */ `${SECURED} and e.done_at is null order by e.position`,
    [id],
  );
  return rows;
}

/** Tables whose row security the cutover has enabled. Without any for a role that bypasses it: that one never had to wait. */
export async function readEnabledRowSecurity(
  target: pg.ClientBase,
  migration: Migration,
): Promise<RowSecurity[]> {
  const { rows } = await target.query<RowSecurity>(
    /* sql */ `
    ${SECURED} and e.done_at is not null
       and not (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user)`,
    [migration.id],
  );
  return rows;
}
