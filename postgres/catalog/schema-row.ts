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
  /** Names of its tables that another schema has, too: only these can be confused. Null: not known, or too many. */
  readonly tables: readonly string[] | null;
}

export type SchemaRows = ReadonlyMap<string, SchemaRow>;

export const SCHEMA_VERSION = /* sql */ `pg_catalog.format('%s %s', n.oid::int8, n.xmin)`;

/** They are stored with the migration: a few hundred kilobytes at most. */
const MOST_TABLES = 10_000;

/** All schemas except the system's and walferry's, which come and go; inside a transaction, what its snapshot sees. */
export async function readSchemaRows(client: pg.ClientBase): Promise<SchemaRows> {
  const { rows } = await client.query<SchemaRow & { name: string; tables: string[] }>(/* sql */ `
    with known as (
      select n.oid, n.nspname as name, ${SCHEMA_VERSION} as version,
             pg_catalog.md5(pg_catalog.format('%s %s', n.nspowner::int8, n.nspacl)) as rights
        from pg_catalog.pg_namespace n
       where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry', 'walferry_fence')),
    named as (
      select c.relnamespace as schema, c.relname as name, pg_catalog.count(*) over (partition by c.relname) as schemas
        from pg_catalog.pg_class c join known on known.oid = c.relnamespace where c.relkind in ('r', 'p')),
    shared as (
      select schema, pg_catalog.array_agg(name::text order by name) as tables from named where schemas > 1 group by schema)
    select name, version, rights, coalesce(tables, '{}') as tables
      from known left join shared on shared.schema = known.oid order by name`);
  const isMuch = rows.reduce((sum, { tables }) => sum + tables.length, 0) > MOST_TABLES;
  return new Map(
    rows.map(({ name, version, rights, tables }) => [
      name,
      { version, rights, tables: isMuch ? null : tables },
    ]),
  );
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

/** Whether they also have the same tables. */
export function sameTables(before: SchemaRows, now: SchemaRows): boolean {
  const textOf = (rows: SchemaRows): string =>
    JSON.stringify([...rows].map(([name, { tables }]) => [name, tables]));
  return textOf(before) === textOf(now);
}
