/**
 * The same fence on the target, closed from the first row until the release: an application that is early gets an error instead of
 * making two masters. walferry's own sessions pass, and those in replica role do not even fire it, which costs copy and apply
 * nothing; so it is not ENABLE ALWAYS here. It stops accidents: a session that sets `walferry.apply` or replica role passes.
 */
import type pg from 'pg';
import { MOST_NAMED } from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import type { TableName } from '../catalog/selection.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { holdMigration } from '../store/migration.ts';
import { hasPlan, PLANNED_DESTINATIONS } from '../store/planned-relation.ts';
import { fenceNames } from './fence-name.ts';
import { ensureGate, setTargetGate } from './gate.ts';
import { installTriggers, namesOf } from './install-triggers.ts';

/** The target's tables for the rows, down to the last partition, that have no trigger of this fence. $2: its name; $3: true. */
const WITHOUT = /* sql */ `
with recursive tree (oid) as (
  select c.oid from (${PLANNED_DESTINATIONS}) as planned (schema, name)
    join pg_catalog.pg_namespace n on n.nspname = planned.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = planned.name
  union select i.inhrelid from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid
)
select n.nspname as schema, c.relname as name
  from tree join pg_catalog.pg_class c on c.oid = tree.oid and c.relkind in ('r', 'p')
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where not exists (select from pg_catalog.pg_trigger g where g.tgrelid = c.oid and g.tgname = $2)
 order by 1, 2`;

export interface Closing {
  /** Tables that have no fence, because the role lacks the right or others lock them; bounded. */
  readonly open: readonly string[];
}

/**
 * Installs the fence on the target's tables, and on those that were added since; a new gate is closed, one that is there keeps its
 * state. Idempotent. What a missing right or a lock leaves open is reported, not refused: the fence protects against accidents, and
 * rows are safe without it.
 * @param client a session outside of a transaction; the control schema has the tables.
 */
export async function closeTarget(
  client: pg.ClientBase,
  migration: Migration,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<Closing> {
  if (!(await hasPlan(client))) return { open: [] };
  const { trigger } = fenceNames(migration);
  const { rows } = await client.query<TableName>(WITHOUT, [migration.id, trigger, true]);
  if (rows.length === 0) return { open: [] };
  try {
    // An attempt that wakes up after the migration has ended must not close the target again.
    const gate = { initial: 'closed', hold: () => holdMigration(client, migration) } as const;
    if (!(await ensureGate(client, migration, NO_SELECTION, gate))) return { open: [] };
  } catch (error) {
    if (sqlstate(error) !== SQLSTATE.insufficientPrivilege) throw error;
    return { open: ['all tables: the role may not create a schema'] };
  }
  const open = await install(client, migration, rows, work);
  const names = namesOf(open, MOST_NAMED);
  return {
    open: open.length > MOST_NAMED ? [...names, `and ${open.length - MOST_NAMED} more`] : names,
  };
}

/** The tables of a target are those of the control schema. */
const NO_SELECTION = { include: [], exclude: [] };

/** Locks of one table, and most tables of one transaction: a target that no one uses yet. */
const LOCKS_EACH = 4;
const AT_ONCE = 200;

async function install(
  client: pg.ClientBase,
  migration: Migration,
  tables: readonly TableName[],
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<TableName[]> {
  const { waiting, denied } = await installTriggers(
    client,
    migration,
    tables.map((table) => ({ ...table, always: false, there: false })),
    work,
    await lockableObjects([client], LOCKS_EACH, AT_ONCE),
  );
  return [...waiting, ...denied];
}

/**
 * Opens the target, in the caller's transaction: the release. One `create or replace`; no table is locked. Does nothing on a target
 * without the fence.
 */
export const openTarget = (client: pg.ClientBase, migration: Migration): Promise<void> =>
  setTargetGate(client, migration, 'open');

/** Closes a gate that was opened, in the caller's transaction: a cutover was undone. */
export const closeTargetAgain = (client: pg.ClientBase, migration: Migration): Promise<void> =>
  setTargetGate(client, migration, 'closed');
