/** Extensions of a database, and which of their tables contain user rows. */
import type pg from 'pg';
import { sqlstate } from '../connection/failure.ts';

export interface ExtensionFacts {
  readonly name: string;
  readonly version: string;
  readonly schema: string;
  /** Its configuration tables (`extconfig`) that contain user rows or could not be read. */
  readonly tablesWithRows: readonly string[];
}

interface ConfigRow {
  readonly extension: string;
  readonly table: string;
  readonly sql: string;
  readonly condition: string;
  readonly readable: boolean;
}

/** Do not call inside a transaction that must stay usable: an extension's condition may fail, which counts as "has rows". */
export async function readExtensions(client: pg.ClientBase): Promise<ExtensionFacts[]> {
  const { rows } = await client.query<Omit<ExtensionFacts, 'tablesWithRows'>>(/* sql */ `
    select e.extname as name, e.extversion as version, n.nspname as schema
      from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
     order by 1`);
  const config = await client.query<ConfigRow>(/* sql */ `
    select e.extname as extension, format('%s.%s', n.nspname, c.relname) as table,
           format('%I.%I', n.nspname, c.relname) as sql, coalesce(e.extcondition[k.at], '') as condition,
           has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable
      from pg_catalog.pg_extension e
      cross join lateral unnest(e.extconfig) with ordinality k (oid, at)
      join pg_catalog.pg_class c on c.oid = k.oid and c.relkind in ('r', 'p')
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     order by 1, 2`);
  const filled = new Set<ConfigRow>();
  for (const row of config.rows) {
    // Unreadable does not mean empty.
    if (!row.readable || (await hasRows(client, row))) filled.add(row);
  }
  return rows.map((extension) => ({
    ...extension,
    tablesWithRows: config.rows
      .filter((row) => row.extension === extension.name && filled.has(row))
      .map(({ table }) => table),
  }));
}

/** The condition comes from the extension; pg_dump uses it, too, to distinguish user rows from the extension's. */
async function hasRows(client: pg.ClientBase, { sql, condition }: ConfigRow): Promise<boolean> {
  try {
    const { rowCount } = await client.query(`select from ${sql} ${condition} limit 1`);
    return (rowCount ?? 0) > 0;
  } catch (error) {
    if (sqlstate(error) === undefined) throw error;
    return true;
  }
}
