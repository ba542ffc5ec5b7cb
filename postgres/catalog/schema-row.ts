/**
 * The catalog rows of schemas. Renaming a schema changes the name under which its tables' changes are sent and leaves no other
 * trace: the tables' catalog rows stay the same. RENAME, GRANT, REVOKE and OWNER TO all write the schema's row, so a new row
 * version is only a reason to look closer (drift/renamed-schema-change.ts).
 */
import type pg from 'pg';
import type { TableName } from './selection.ts';

export interface SchemaRow {
  /** Its oid and the transaction (32 bits) that last wrote the row. */
  readonly version: string;
  /** Hash of owner and privileges: GRANT, REVOKE and OWNER TO change it, RENAME does not. */
  readonly rights: string;
}

export type SchemaRows = ReadonlyMap<string, SchemaRow>;

export const SCHEMA_VERSION = /* sql */ `pg_catalog.format('%s %s', n.oid::int8, n.xmin)`;

/** All schemas except the system's and walferry's, which come and go; inside a transaction, what its snapshot sees. */
export async function readSchemaRows(client: pg.ClientBase): Promise<SchemaRows> {
  const { rows } = await client.query<SchemaRow & { name: string }>(/* sql */ `
    select n.nspname as name, ${SCHEMA_VERSION} as version,
           pg_catalog.md5(pg_catalog.format('%s %s', n.nspowner::int8, n.nspacl)) as rights
      from pg_catalog.pg_namespace n
     where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry', 'walferry_fence') order by n.nspname`);
  return new Map(rows.map(({ name, version, rights }) => [name, { version, rights }]));
}

/** The existing tables with these names in these schemas. */
export async function readNamed(
  client: pg.ClientBase,
  { schemas, names }: { readonly schemas: readonly string[]; readonly names: readonly string[] },
): Promise<TableName[]> {
  const { rows } = await client.query<TableName>(
    /* sql */ `
    select n.nspname as schema, c.relname as name from pg_catalog.pg_namespace n
      join pg_catalog.pg_class c on c.relnamespace = n.oid
     where n.nspname = any($1) and c.relname = any($2) and c.relkind in ('r', 'p')`,
    [schemas, names],
  );
  return rows;
}

export function sameRows(before: SchemaRows, now: SchemaRows): boolean {
  return (
    before.size === now.size &&
    [...now].every(([name, { version }]) => before.get(name)?.version === version)
  );
}
