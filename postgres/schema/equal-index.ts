/** Whether an index or constraint that the target has already is the one that the archive would create. */
import type pg from 'pg';
import type { StoredEntry } from '../store/schema-entry.ts';

/**
 * Compares the definitions that both sides print with an empty search path. Returns the entry's remaining statements
 * (CLUSTER ON, REPLICA IDENTITY; often none), or null when the existing object is invalid or different.
 */
export async function matchExisting(
  target: pg.ClientBase,
  entry: StoredEntry,
): Promise<string | null> {
  const { rows } = await target.query<{ statement: string }>(
    entry.kind === 'INDEX' ? INDEX : CONSTRAINT,
    [entry.schema, entry.name],
  );
  for (const { statement } of rows) {
    if (entry.sql.startsWith(statement)) return entry.sql.slice(statement.length);
  }
  return null;
}

const INDEX = /* sql */ `
select pg_catalog.pg_get_indexdef(i.indexrelid) || ';' as statement
  from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indexrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = $2 and i.indisready and (i.indisvalid or c.relkind = 'I')`;

/** As pg_dump writes the statement, with ONLY or (for foreign keys of partitioned tables) without. */
const CONSTRAINT = /* sql */ `
select format(e'ALTER TABLE %s%I.%I\n    ADD CONSTRAINT %I %s;', form.word, n.nspname, c.relname,
              k.conname, pg_catalog.pg_get_constraintdef(k.oid)) as statement
  from pg_catalog.pg_constraint k
  join pg_catalog.pg_class c on c.oid = k.conrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_index i on i.indexrelid = k.conindid and k.contype in ('p', 'u', 'x')
  cross join (values ('ONLY '), ('')) as form(word)
 where n.nspname = $1 and c.relname || ' ' || k.conname = $2
   and (i.indexrelid is null or i.indisvalid or c.relkind = 'p')`;
