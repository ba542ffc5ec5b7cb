/** Materialized views, stored as entries of the schema: which are to be filled, and which were. */
import pg from 'pg';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';

/** Whether a view is to be filled, or was excluded by the operator. Avoids reading the entries of a large schema for nothing. */
export async function hasViews(target: pg.ClientBase, migration: Migration): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    select from walferry.schema_entry
     where migration = $1 and kind = 'MATERIALIZED VIEW' and (refresh or refresh_state is not null) limit 1`,
    [migration.id],
  );
  return rowCount === 1;
}

/**
 * Names of the views that refresh-views.ts has yet to fill.
 * @param at the cutover's end mark; null to count only empty ones.
 */
export async function readUnfilled(
  target: pg.ClientBase,
  migration: Migration,
  at: Lsn | null,
): Promise<string[]> {
  const { rows } = await target.query<{ name: string }>(
    /* sql */ `
    select pg_catalog.format('materialized view %s.%s', e.schema_name, e.name) as name
      from walferry.schema_entry e
      join pg_catalog.pg_class c on c.relkind = 'm'
       and c.oid = pg_catalog.to_regclass(pg_catalog.format('%I.%I', e.schema_name, e.name))
     where e.migration = $1 and e.kind = 'MATERIALIZED VIEW' and e.refresh
       and (not c.relispopulated or ($2::pg_lsn is not null and e.refreshed is distinct from $2::pg_lsn))
     order by e.position`,
    [migration.id, at],
  );
  return rows.map(({ name }) => name);
}

export interface ViewToFill {
  readonly schema: string;
  readonly name: string;
  /** It is filled, and refreshed by the cutover. */
  readonly refresh: boolean;
  /** It was empty on the source: the cutover fills it if it is empty here, too, and filled there. */
  readonly fillsLater: boolean;
}

/** Views that walferry created and fills in a later step, or that the operator excluded from it. */
export async function readViewsToFill(
  target: pg.ClientBase,
  migration: Migration,
): Promise<ViewToFill[]> {
  const { rows } = await target.query<ViewToFill>(
    /* sql */ `
    select schema_name as schema, name, refresh, refresh_state is null and was_empty is not false as "fillsLater"
      from walferry.schema_entry where migration = $1 and kind = 'MATERIALIZED VIEW'`,
    [migration.id],
  );
  return rows;
}

export interface EmptyView {
  readonly id: number;
  readonly schema: string;
  readonly name: string;
}

/** Views that are empty here, as they were on the source. */
export async function readEmptyViews(
  target: pg.ClientBase,
  migration: Migration,
): Promise<EmptyView[]> {
  const { rows } = await target.query<EmptyView>(
    /* sql */ `
    select e.id, e.schema_name as schema, e.name from walferry.schema_entry e
      join pg_catalog.pg_class c on c.oid = to_regclass(format('%I.%I', e.schema_name, e.name)) and c.relkind = 'm'
     where e.migration = $1 and e.kind = 'MATERIALIZED VIEW' and not e.refresh and e.refresh_state is null
       and e.was_empty is not false and not c.relispopulated`,
    [migration.id],
  );
  return rows;
}

/** The source has filled these views since the schema was copied. */
export async function markToFill(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.schema_entry set refresh = true where migration = $1 and id = any($2::int[])`,
    [migration.id, ids],
  );
}

/**
 * A view is refreshed, if the transaction commits.
 * @param name quoted.
 * @param at the cutover's end mark; null: only an empty view is filled.
 * @returns false if that is done already.
 */
export async function claimRefresh(
  target: pg.ClientBase,
  migration: Migration,
  { id, name, at }: { readonly id: number; readonly name: string; readonly at: Lsn | null },
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.schema_entry set refreshed = $3::pg_lsn, refresh_state = null
     where migration = $1 and id = $2
       and case when $3::pg_lsn is null
                then not (select relispopulated from pg_catalog.pg_class where oid = $4::regclass)
                else refreshed is distinct from $3::pg_lsn end`,
    [migration.id, id, at, name],
  );
  return rowCount === 1;
}

/** The queries of views failed on the target. */
export async function markRefreshFailed(
  target: pg.ClientBase,
  migration: Migration,
  failed: readonly { readonly id: number; readonly sqlstate: string }[],
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.schema_entry e set refresh_state = f.state
      from unnest($2::int[], $3::text[]) as f (id, state) where e.migration = $1 and e.id = f.id`,
    [migration.id, failed.map(({ id }) => id), failed.map(({ sqlstate }) => sqlstate)],
  );
}

/** For the operator to run on the target: excludes views whose queries failed. @param ids null: all of them. */
export function excludeViews({ id }: Migration, ids: readonly number[] | null): string {
  const which = ids === null ? 'refresh_state is not null' : `id in (${ids.join(', ')})`;
  return `update walferry.schema_entry set refresh = false where migration = ${pg.escapeLiteral(id)} and ${which}`;
}
