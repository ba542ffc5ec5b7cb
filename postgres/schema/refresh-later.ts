/** Materialized views that the source has filled since the schema was copied. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { connectSource } from '../identity/connect.ts';

/**
 * Views that held nothing on the source when the schema was copied, and hold rows there now, are filled from now on, too. One that
 * the operator took out was tried or filled here before.
 */
export async function wantFilledLater(
  target: pg.ClientBase,
  migration: Migration,
  signal: AbortSignal,
): Promise<void> {
  const { rows: empty } = await target.query<{ id: number; schema: string; name: string }>(
    /* sql */ `
    select e.id, e.schema_name as schema, e.name from walferry.schema_entry e
      join pg_catalog.pg_class c on c.oid = to_regclass(format('%I.%I', e.schema_name, e.name)) and c.relkind = 'm'
     where e.migration = $1 and e.kind = 'MATERIALIZED VIEW' and not e.refresh and e.refresh_state is null
       and not c.relispopulated`,
    [migration.id],
  );
  if (empty.length === 0) return;
  await using source = await connectSource(migration, 'cutover', { signal });
  const { rows: filled } = await source.query<{ id: number }>(
    /* sql */ `
    select w.id from jsonb_to_recordset($1::jsonb) as w (id integer, schema text, name text)
      join pg_catalog.pg_namespace n on n.nspname = w.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name and c.relkind = 'm'
     where c.relispopulated`,
    [JSON.stringify(empty)],
  );
  await target.query(
    /* sql */ `update walferry.schema_entry set refresh = true where migration = $1 and id = any($2::int[])`,
    [migration.id, filled.map(({ id }) => id)],
  );
}
