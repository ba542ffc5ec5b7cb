/** Selected tables that the target has. */
import type pg from 'pg';
import { readRelationsNamed } from '../../catalog/read-relations.ts';
import { destinationsOf } from '../../catalog/row-destination.ts';
import type { TableName } from '../../catalog/selection.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import { withRows } from '../../schema/existing.ts';
import { ofSource, shared, type TargetReading } from '../reading.ts';
import { relations } from './selected.ts';

export interface TargetTable extends TableName {
  readonly kind: string;
  /** Null if not readable. */
  readonly hasRows: boolean | null;
  readonly owned: boolean;
  readonly writable: boolean;
  readonly rowSecurity: boolean;
  readonly isPartition: boolean;
  /** A root of `viaPartitionRoot`, which the operator always creates. */
  readonly isRoot: boolean;
}

/** Names of all tables that take rows. */
export async function destinations(of: TargetReading): Promise<TableName[]> {
  return destinationsOf(await ofSource(of, relations, []));
}

/** Names of the roots of `viaPartitionRoot`. */
export async function destinedRoots(of: TargetReading): Promise<TableName[]> {
  const selected = await ofSource(of, relations, []);
  return destinationsOf(selected.filter(({ viaRoot }) => viaRoot !== null));
}

export const tables = shared(async (of: TargetReading) =>
  readTables(of.client, await destinations(of), await destinedRoots(of)),
);

/** Existing tables that are not roots, with their columns. */
export const given = shared(async (of: TargetReading) =>
  readRelationsNamed(
    of.client,
    (await tables(of)).filter(({ isRoot }) => !isRoot),
  ),
);

/** Whether walferry creates the tables: the target has none of them, except roots of `viaPartitionRoot`. */
export function createsTables({ tables: there }: { tables: readonly TargetTable[] }): boolean {
  return there.every(({ isRoot }) => isRoot);
}

interface TableRow extends Omit<TargetTable, 'hasRows' | 'isRoot'> {
  readonly sql: string;
  readonly readable: boolean;
}

async function readTables(
  client: pg.ClientBase,
  wanted: readonly TableName[],
  roots: readonly TableName[],
): Promise<TargetTable[]> {
  const { rows } = await client.query<TableRow>(
    /* sql */ `
    select n.nspname as schema, c.relname as name, c.relkind as kind,
           c.relispartition as "isPartition", format('%I.%I', n.nspname, c.relname) as sql,
           pg_has_role(c.relowner, 'usage') as owned,
           usage.granted and has_table_privilege(c.oid, 'select') as readable,
           usage.granted and has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
             and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete')
             and has_table_privilege(c.oid, 'truncate') as writable,
           c.relrowsecurity and (c.relforcerowsecurity or not pg_has_role(c.relowner, 'usage'))
             and not (select rolsuper or rolbypassrls from pg_catalog.pg_roles
                       where rolname = current_user) as "rowSecurity"
      from unnest($1::text[], $2::text[]) as wanted (schema, name)
      join pg_catalog.pg_namespace n on n.nspname = wanted.schema
      cross join lateral (select has_schema_privilege(n.oid, 'usage') as granted) usage
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
     where c.relkind <> 'i' and c.relkind <> 'I'
     order by 1, 2`,
    [wanted.map(({ schema }) => schema), wanted.map(({ name }) => name)],
  );
  const rooted = new Set(roots.map(keyOfName));
  const isRoot = (row: TableName) => rooted.has(keyOfName(row));
  const visible = rows.filter(
    (row) =>
      (row.kind === 'r' || (row.kind === 'p' && isRoot(row))) && row.readable && !row.rowSecurity,
  );
  const filled = new Set((await withRows(client, visible)).map(({ sql }) => sql));
  const checked = new Set(visible.map(({ sql }) => sql));
  return rows.map(({ sql, readable: _, ...table }) => ({
    ...table,
    isRoot: isRoot(table),
    // A partitioned table holds no rows itself, and its partitions are listed separately, except those of a root.
    hasRows: checked.has(sql)
      ? filled.has(sql)
      : table.kind === 'p' && !isRoot(table)
        ? false
        : null,
  }));
}
