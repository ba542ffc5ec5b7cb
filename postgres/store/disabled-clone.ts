/**
 * Clones of disabled triggers. A partition that is created or attached inherits the triggers of the tables above it in their
 * current state. Under a trigger that is disabled until the cutover, its clone is disabled, too; it is not found as enabled, and
 * has no record. A clone that was disabled before its parent gets a record, so that it stays disabled.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { EnabledTrigger, DisabledTrigger } from './disabled-trigger.ts';

/** A clone without a record, and the recorded trigger that determines its state. */
export interface Clone extends DisabledTrigger {
  readonly kind: 'trigger';
  /** Oid of the next trigger above it that has a record. */
  readonly below: string;
}

/** Records clones of these triggers that are disabled already; call it first in the transaction that disables them. */
export async function noteDisabledClones(
  target: pg.ClientBase,
  migration: Migration,
  enabled: readonly EnabledTrigger[],
  made: boolean,
): Promise<void> {
  const triggers = enabled.filter(({ kind }) => kind === 'trigger').map(({ oid }) => oid);
  if (triggers.length === 0) return;
  await target.query(
    /* sql */ `
    with recursive clone (oid) as (
      select g.oid from pg_catalog.pg_trigger g where g.tgparentid = any($2::oid[])
      union select g.oid from clone join pg_catalog.pg_trigger g on g.tgparentid = clone.oid)
    insert into walferry.disabled_trigger (migration, kind, schema_name, table_name, name, state, object, made)
    select $1, 'trigger', n.nspname, c.relname, g.tgname, g.tgenabled, g.oid, $3
      from clone join pg_catalog.pg_trigger g on g.oid = clone.oid
      join pg_catalog.pg_class c on c.oid = g.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where g.tgenabled = 'D'
    on conflict (migration, kind, schema_name, table_name, name) do nothing`,
    [migration.id, triggers, made],
  );
}

/** Disabled clones without a record, below a trigger that is to be restored. */
export async function readClones(target: pg.ClientBase, migration: Migration): Promise<Clone[]> {
  const { rows } = await target.query<Omit<Clone, 'noted'>>(
    /* sql */ `
    with recursive noted as materialized (
      select object as oid, given_back, coalesce(made, false) as made from walferry.disabled_trigger
       where migration = $1 and kind = 'trigger' and object is not null
    ), clone (oid, above) as (
      select g.oid, g.tgparentid from pg_catalog.pg_trigger g
       where g.tgparentid <> 0 and g.tgenabled = 'D' and not g.tgisinternal and g.oid not in (select oid from noted)
      -- Up to the first that has a record: a trigger further up may have another state.
      union select clone.oid, g.tgparentid from clone join pg_catalog.pg_trigger g on g.oid = clone.above
       where g.tgparentid <> 0 and clone.above not in (select oid from noted)
    )
    select 'trigger' as kind, g.oid::text as oid, n.nspname as schema_name, c.relname as table_name, g.tgname as name,
           g.tgenabled::text as state, noted.made, noted.oid::text as below
      from clone join noted on noted.oid = clone.above and not noted.given_back
      join pg_catalog.pg_trigger g on g.oid = clone.oid
      join pg_catalog.pg_class c on c.oid = g.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     order by 3, 4, 5`,
    [migration.id],
  );
  return rows.map((row) => ({ ...row, noted: row }));
}
