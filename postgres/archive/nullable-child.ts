/**
 * Inheritance children whose column accepts nulls although the parent's does not: `alter table only child alter a drop not null`,
 * which PostgreSQL accepts before version 18. pg_dump does not write it, so the child would be created NOT NULL like its parent.
 */
import pg from 'pg';
import type { TableName } from '../catalog/selection.ts';
import type { ArchiveEntry } from './archive.ts';
import { splitOwner } from './owner.ts';

export interface NullableColumn extends TableName {
  readonly column: string;
}

/** From this version on, a child's column accepts nulls only if the parent's NOT NULL is NO INHERIT, which pg_dump writes. */
export const NOT_NULL_INHERITED = 18;

/** Such columns of the database. Reads only the catalog. */
export async function readNullableColumns(source: pg.ClientBase): Promise<NullableColumn[]> {
  const { rows } = await source.query<NullableColumn>(
    /* sql */ `
    select distinct n.nspname as schema, c.relname as name, a.attname as column
      from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relkind = 'r' and not c.relispartition
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and not a.attnotnull
      join pg_catalog.pg_attribute p on p.attrelid = i.inhparent and p.attname = a.attname and p.attnotnull and not p.attisdropped
     where pg_catalog.current_setting('server_version_num')::integer < $1 * 10000
     order by 1, 2, 3`,
    [NOT_NULL_INHERITED],
  );
  return rows;
}

/**
 * Adds the statements to those that create the tables: before the owner is set, and so before their own children are created,
 * which would inherit the NOT NULL. Pure.
 */
export function withNullable<T extends ArchiveEntry>(
  entries: readonly T[],
  columns: readonly NullableColumn[],
): readonly T[] {
  if (columns.length === 0) return entries;
  const keyOf = ({ schema, name }: { schema: string | null; name: string }): string =>
    JSON.stringify([schema, name]);
  const statements = new Map<string, string>();
  for (const one of columns) {
    const table = `${pg.escapeIdentifier(one.schema)}.${pg.escapeIdentifier(one.name)}`;
    const drop = `\nALTER TABLE ONLY ${table} ALTER COLUMN ${pg.escapeIdentifier(one.column)} DROP NOT NULL;`;
    statements.set(keyOf(one), (statements.get(keyOf(one)) ?? '') + drop);
  }
  return entries.map((entry) => {
    const drops = entry.kind === 'TABLE' ? statements.get(keyOf(entry)) : undefined;
    if (drops === undefined) return entry;
    const { made, handed } = splitOwner(entry.sql);
    return { ...entry, sql: `${made}${drops}${handed === null ? '' : `\n${handed}`}` };
  });
}
