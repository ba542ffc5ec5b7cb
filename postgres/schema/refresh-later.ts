/** Materialized views that the source has filled since the schema was copied. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { connectSource } from '../session/open.ts';
import { type EmptyView, readEmptyViews, markToFill } from '../store/view-entry.ts';

/**
 * Marks views to be filled that were empty on the source when the schema was copied and hold rows there now. Views that the
 * operator excluded stay excluded.
 */
export async function wantFilledLater(
  target: pg.ClientBase,
  migration: Migration,
  signal: AbortSignal,
): Promise<void> {
  const empty = await readEmptyViews(target, migration);
  if (empty.length === 0) return;
  await using source = await connectSource(migration, 'cutover', { signal });
  const filled = await findFilled(source, empty);
  await markToFill(
    target,
    migration,
    filled.map(({ id }) => id),
  );
}

/** Names of the views that {@link wantFilledLater} has yet to mark: a failover of the target can lose marks. */
export async function readUnwanted(
  { source, target }: { readonly source: pg.ClientBase; readonly target: pg.ClientBase },
  migration: Migration,
): Promise<string[]> {
  const filled = await findFilled(source, await readEmptyViews(target, migration));
  return filled.map(({ schema, name }) => `materialized view ${schema}.${name}`);
}

async function findFilled(
  source: pg.ClientBase,
  views: readonly EmptyView[],
): Promise<EmptyView[]> {
  if (views.length === 0) return [];
  const { rows } = await source.query<EmptyView>(
    /* sql */ `
    select w.id, w.schema, w.name from jsonb_to_recordset($1::jsonb) as w (id integer, schema text, name text)
      join pg_catalog.pg_namespace n on n.nspname = w.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name and c.relkind = 'm'
     where c.relispopulated`,
    [JSON.stringify(views)],
  );
  return rows;
}
