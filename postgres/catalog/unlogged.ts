/**
 * Unlogged tables on the target, which an operator may have created for speed: a crash empties them, while the confirmed LSN,
 * stored in a logged table, still implies that their rows exist.
 */
import type pg from 'pg';
import { ignoredAmong, type IgnorePatterns } from './ignore-patterns.ts';
import type { Relation } from './relation.ts';
import { destinationOf } from './row-destination.ts';
import { keyOfName } from './table-name.ts';
import type { TableName } from './selection.ts';

/** Message about such a table; follows the table's name. */
export const UNLOGGED_ON_TARGET =
  'is unlogged on the target or has an unlogged partition, so a crash there would empty it: run alter table … set logged there';

/**
 * The names whose tables must be logged on the target: all except those that are unlogged on the source and ignored.
 * @param relations the selected tables of the source.
 */
export function requireLogged<Name extends TableName>(
  names: readonly Name[],
  relations: readonly Relation[],
  patterns: IgnorePatterns,
): Name[] {
  const { unlogged } = ignoredAmong(relations, patterns);
  const accepted = relations.filter((one) => one.persistence === 'u' && unlogged(one));
  const spared = new Set(accepted.map((one) => keyOfName(destinationOf(one))));
  return names.filter((name) => !spared.has(keyOfName(name)));
}

/** The named tables that are unlogged or have an unlogged partition on any level. */
export async function readUnlogged(
  target: pg.ClientBase,
  names: readonly TableName[],
): Promise<TableName[]> {
  const { rows } = await target.query<TableName>(
    /* sql */ `
    with recursive below (schema, name, oid) as (
      select n.nspname, c.relname, c.oid
        from unnest($1::text[], $2::text[]) as wanted (schema, name)
        join pg_catalog.pg_namespace n on n.nspname = wanted.schema
        join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
      union
      select b.schema, b.name, p.oid
        from below b
        join pg_catalog.pg_inherits i on i.inhparent = b.oid
        join pg_catalog.pg_class p on p.oid = i.inhrelid and p.relispartition)
    select distinct b.schema, b.name
      from below b join pg_catalog.pg_class c on c.oid = b.oid
     where c.relpersistence = 'u' and c.relkind in ('r', 'p')
     order by 1, 2`,
    [names.map(({ schema }) => schema), names.map(({ name }) => name)],
  );
  return rows;
}
