/** Partitions that hold the rows of partitioned tables. */
import type pg from 'pg';
import type { TableName } from './selection.ts';
import { keyOfName } from './table-name.ts';

/**
 * Partitions at any depth, by the root's name ({@link keyOfName}); of an ordinary table, itself; of one that is missing, none.
 * @param kinds `r` ordinary ones, `f` foreign ones.
 */
export async function readLeaves(
  client: pg.ClientBase,
  roots: readonly TableName[],
  kinds: readonly ('r' | 'f')[] = ['r'],
): Promise<ReadonlyMap<string, readonly TableName[]>> {
  const leaves = new Map(roots.map((root): [string, TableName[]] => [keyOfName(root), []]));
  if (roots.length === 0) return leaves;
  const { rows } = await client.query<TableName & { at: number }>(
    /* sql */ `
    with recursive below (at, oid, kind) as (
      select r.at, c.oid, c.relkind from unnest($1::text[], $2::text[]) with ordinality as r (schema, name, at)
        join pg_catalog.pg_namespace n on n.nspname = r.schema
        join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = r.name
      union all
      select b.at, i.inhrelid, c.relkind from below b join pg_catalog.pg_inherits i on i.inhparent = b.oid
        join pg_catalog.pg_class c on c.oid = i.inhrelid where b.kind = 'p')
    select (b.at - 1)::int4 as at, n.nspname as schema, c.relname as name
      from below b join pg_catalog.pg_class c on c.oid = b.oid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind = any($3) order by b.at, n.nspname, c.relname`,
    [roots.map(({ schema }) => schema), roots.map(({ name }) => name), kinds],
  );
  for (const { at, schema, name } of rows) {
    const root = roots[at];
    if (root) leaves.get(keyOfName(root))?.push({ schema, name });
  }
  return leaves;
}
