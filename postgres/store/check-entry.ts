/** Check and NOT NULL constraints that wait for the cutover (archive/deferred-check.ts), stored as entries of the schema. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { DeferredCheck } from '../archive/deferred-check.ts';

export interface WaitingCheck {
  readonly id: number;
  readonly kind: 'TABLE' | 'DOMAIN';
  readonly schema: string;
  readonly name: string;
  readonly constraint: string;
  /** Adds the constraint, NOT VALID, and its comment. */
  readonly sql: string;
  /** Whether it was valid on the source. */
  readonly valid: boolean;
  /** Whether the target refused it at the last attempt. */
  readonly refused: boolean;
}

/**
 * Stores the checks next to the archive's entries, with negative numbers, which entries never have. `name` is the table's or
 * domain's, and `tables` contains the constraint's. {@link readChecks} reads them.
 */
export async function storeChecks(
  target: pg.ClientBase,
  migration: string,
  position: number,
  checks: readonly DeferredCheck[],
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.schema_entry
      (migration, position, id, phase, kind, schema_name, name, sql, depends, tables)
    select $1, $2 + c.at, -c.at, 'checks', c.kind || case when c.valid then ' CHECK' else ' CHECK NOT VALID' end, c.schema, c.name, c.sql, '{}', array[c."constraint"]
      from jsonb_to_recordset($3::jsonb) as c (at integer, kind text, schema text, name text, "constraint" text, sql text, valid boolean)`,
    [
      migration,
      position,
      JSON.stringify(checks.map(({ check, ...more }, i) => ({ ...check, ...more, at: i + 1 }))),
    ],
  );
}

/** Children first: a child that has inherited a constraint cannot get it again, but the parent's merges with the child's. */
export async function readChecks(
  target: pg.ClientBase,
  migration: Migration,
  which: 'waiting' | 'added' | 'all',
): Promise<WaitingCheck[]> {
  const { rows } = await target.query<WaitingCheck>(
    /* sql */ `
    with recursive mine as (
      select id, split_part(kind, ' ', 1) as kind, schema_name, name, tables[1] as "constraint", sql,
             kind not like '% NOT VALID' as valid, refresh_state is not null as refused
        from walferry.schema_entry
       where migration = $1 and phase = 'checks' and ($2 = 'all' or (done_at is null) = ($2 = 'waiting'))
    ), line (id, oid) as (
      select m.id, c.oid from mine m
        join pg_catalog.pg_namespace n on n.nspname = m.schema_name
        join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = m.name and m.kind = 'TABLE'
      union
      select line.id, i.inhparent from line join pg_catalog.pg_inherits i on i.inhrelid = line.oid
    ), depth as (select id, count(*) as ancestors from line group by id)
    select m.id, m.kind, m.schema_name as schema, m.name, m."constraint", m.sql, m.valid, m.refused
      from mine m left join depth d on d.id = m.id order by coalesce(d.ancestors, 0) desc, m.id desc`,
    [migration.id, which],
  );
  return rows;
}

/** Names of all checks with their schemas: an inherited one has the name of its parent's. */
export async function readCheckNames(
  target: pg.ClientBase,
  migration: Migration,
): Promise<{ readonly schema: string; readonly name: string }[]> {
  const { rows } = await target.query<{ schema: string; name: string }>(
    /* sql */ `select schema_name as schema, tables[1] as name from walferry.schema_entry where migration = $1 and phase = 'checks'`,
    [migration.id],
  );
  return rows;
}

/** A check was added, or dropped again. */
export async function markCheckAdded(
  target: pg.ClientBase,
  migration: Migration,
  id: number,
  added: boolean,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.schema_entry set done_at = case when $3 then now() end, refresh_state = null where migration = $1 and id = $2`,
    [migration.id, id, added],
  );
}

/** The target refused a check. */
export async function markCheckRefused(
  target: pg.ClientBase,
  migration: Migration,
  id: number,
  sqlstate: string,
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.schema_entry set refresh_state = $3 where migration = $1 and id = $2`,
    [migration.id, id, sqlstate],
  );
}
