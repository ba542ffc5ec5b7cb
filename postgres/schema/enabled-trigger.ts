/**
 * Triggers and rules of tables that fire while changes are applied. The operator's DDL can create one at any time, on both
 * sides, as a migration script does. It has already fired on the source, so its effects would occur twice.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { TableName } from '../catalog/selection.ts';
import type { EnabledTrigger } from '../store/disabled-trigger.ts';
import { PLANNED_DESTINATIONS } from '../store/planned-relation.ts';
import { notOfFence } from '../catalog/own-object.ts';

const FIRES_FOR_REPLICA = ['A', 'R'];
const FIRES_FOR_ALL = ['O', 'A', 'R'];

/** States of a trigger in which it fires for our sessions' writes. @param replicaRole whether they have replica role. */
export function firingStates(replicaRole: boolean): readonly string[] {
  return replicaRole ? FIRES_FOR_REPLICA : FIRES_FOR_ALL;
}

/** @param wanted a query for the tables, as `schema` and `name`; clones on partitions have their own state. */
const enabledOn = (wanted: string, states: string) => /* sql */ `
with recursive named as (
  select c.oid from (${wanted}) as wanted (schema, name)
    join pg_catalog.pg_namespace n on n.nspname = wanted.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
), tree (oid) as (
  select oid from named
  -- Not pg_partition_tree(), which locks all partitions until the transaction ends.
  union select i.inhrelid from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid
         join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relispartition
)
select l.kind, l.oid::text as oid, n.nspname as schema_name, c.relname as table_name, l.name, l.state
  from tree t
  join pg_catalog.pg_class c on c.oid = t.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 -- Per table, by the index on its triggers: this runs with every batch, and a database may have 100,000 triggers.
 cross join lateral (
   select 'trigger' as kind, g.oid, g.tgname as name, g.tgenabled as state
     from pg_catalog.pg_trigger g where g.tgrelid = t.oid and not g.tgisinternal and ${notOfFence('g')}
   union all
   select 'rule', r.oid, r.rulename, r.ev_enabled
     from pg_catalog.pg_rewrite r where r.ev_class = t.oid and r.ev_type <> '1'
   offset 0) l
 where l.state::text = any(${states})`;

const ON_TABLES = enabledOn(
  /* sql */ `select one.schema, one.name from pg_catalog.json_to_recordset($1::pg_catalog.json) as one (schema text, name text)`,
  '$2::pg_catalog.text[]',
);
const ON_PLANNED = enabledOn(PLANNED_DESTINATIONS, '$2');

/** The query for enabled triggers and rules on these tables of the target and their partitions. */
export function triggerQuery(
  tables: readonly TableName[],
  states: readonly string[],
): { readonly sql: string; readonly values: readonly [tables: string, states: string] } {
  const names = tables.map(({ schema, name }) => ({ schema, name }));
  return { sql: ON_TABLES, values: [JSON.stringify(names), `{${states.join(',')}}`] };
}

/** Enabled triggers and rules on these tables of the target and their partitions. @param states see `firingStates`. */
export async function readEnabledTriggers(
  target: pg.ClientBase,
  tables: readonly TableName[],
  states: readonly string[],
): Promise<EnabledTrigger[]> {
  const { sql, values } = triggerQuery(tables, states);
  // Runs before each commit: a prepared statement is planned once per session.
  const { rows } = await target.query<EnabledTrigger>({
    name: 'walferry_enabled_triggers',
    text: sql,
    values: [...values],
  });
  return rows;
}

/** The same for all tables that the migration follows, or only for those that the operator created. */
export async function readEnabledOnPlanned(
  target: pg.ClientBase,
  migration: Migration,
  states: readonly string[],
  which: 'all' | 'given' = 'all',
): Promise<EnabledTrigger[]> {
  const { rows } = await target.query<EnabledTrigger>(ON_PLANNED, [
    migration.id,
    states,
    which === 'all',
  ]);
  return rows;
}
