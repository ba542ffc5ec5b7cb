/** Materialized views that the source has filled since the schema was copied. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { connectSource } from '../session/open.ts';

/**
 * Marks views to be filled that were empty on the source when the schema was copied and hold rows there now. Views that the
 * operator excluded stay excluded.
 */
export async function wantFilledLater(
  target: pg.ClientBase,
  migration: Migration,
  signal: AbortSignal,
): Promise<void> {
  const empty = await readEmpty(target, migration);
  if (empty.length === 0) return;
  await using source = await connectSource(migration, 'cutover', { signal });
  const filled = await findFilled(source, empty);
  await target.query(
    /* sql */ `update walferry.schema_entry set refresh = true where migration = $1 and id = any($2::int[])`,
    [migration.id, filled.map(({ id }) => id)],
  );
}

/** Names of the views that {@link wantFilledLater} has yet to mark: a failover of the target can lose marks. */
export async function readUnwanted(
  { source, target }: { readonly source: pg.ClientBase; readonly target: pg.ClientBase },
  migration: Migration,
): Promise<string[]> {
  const filled = await findFilled(source, await readEmpty(target, migration));
  return filled.map(({ schema, name }) => `materialized view ${schema}.${name}`);
}

interface View {
  readonly id: number;
  readonly schema: string;
  readonly name: string;
}

/** Views that are empty here, as they were on the source. Control schemas of earlier code do not record why one is empty. */
async function readEmpty(target: pg.ClientBase, migration: Migration): Promise<View[]> {
  const { rows } = await target.query<View>(
    /* sql */ `
    select e.id, e.schema_name as schema, e.name from walferry.schema_entry e
      join pg_catalog.pg_class c on c.oid = to_regclass(format('%I.%I', e.schema_name, e.name)) and c.relkind = 'm'
     where e.migration = $1 and e.kind = 'MATERIALIZED VIEW' and not e.refresh and e.refresh_state is null
       and e.was_empty is not false and not c.relispopulated`,
    [migration.id],
  );
  return rows;
}

async function findFilled(source: pg.ClientBase, views: readonly View[]): Promise<View[]> {
  if (views.length === 0) return [];
  const { rows } = await source.query<View>(
    /* sql */ `
    select w.id, w.schema, w.name from jsonb_to_recordset($1::jsonb) as w (id integer, schema text, name text)
      join pg_catalog.pg_namespace n on n.nspname = w.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name and c.relkind = 'm'
     where c.relispopulated`,
    [JSON.stringify(views)],
  );
  return rows;
}
