/**
 * Triggers, rules and event triggers that would fire while walferry applies changes. Ordinary ones do not fire in replica role;
 * those that are ENABLE ALWAYS or ENABLE REPLICA would fire for every row a second time, after the source. They are disabled in
 * the transaction that creates them, recorded, and restored at the cutover; undoing a cutover disables them again.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import type { TableName } from '../catalog/selection.ts';
import { noteDisabledClones, readClones, type Clone } from '../store/disabled-clone.ts';
import { disableRowSecurity, enableRowSecurity } from './restored-row-security.ts';
import { switchObjects, type Attempt } from './switch-objects.ts';
import { firingStates, readEnabledTriggers } from './enabled-trigger.ts';
import {
  markDisabled,
  noteDisabled,
  noteState,
  readDisabledTriggers,
  statesOn,
  type EnabledTrigger,
  type DisabledTrigger,
} from '../store/disabled-trigger.ts';
import { restoringStatement, switchTo } from './trigger-statement.ts';
import { addChecks, dropChecks, openSource, type ChecksOf } from './waiting-check.ts';
import { refuseSwitched } from '../store/outcome.ts';
import { hasStore } from '../store/upgrade.ts';
import { inTransaction } from '../connection/in-transaction.ts';

const ENABLED_EVENT_TRIGGERS = /* sql */ `
select 'event trigger' as kind, oid::text as oid, '' as schema_name, '' as table_name, evtname as name, evtenabled as state
  from pg_catalog.pg_event_trigger where evtname = $1 and evtenabled <> 'D'`;

/**
 * States that fire while changes are applied: only ALWAYS and REPLICA if the role may set replica role, otherwise all
 * enabled ones.
 */
export async function probeFiringStates(target: pg.ClientBase): Promise<readonly string[]> {
  try {
    await target.query(/* sql */ `set session_replication_role = replica`);
    await target.query(/* sql */ `reset session_replication_role`);
    return firingStates(true);
  } catch {
    return firingStates(false);
  }
}

/**
 * Disables and records the enabled triggers and rules of these tables, in the caller's transaction. Returns how many.
 * @param made whether walferry created them: then the source determines the state that they get in the end.
 */
export async function disableOnTables(
  target: pg.ClientBase,
  migration: Migration,
  tables: readonly TableName[],
  states: readonly string[],
  made: boolean,
): Promise<number> {
  const enabled = await readEnabledTriggers(target, tables, states);
  await disableAll(target, migration, enabled, made);
  return enabled.length;
}

/**
 * The same for triggers that were found enabled, in separate transactions that lock no more tables than the server has room
 * for. After an interruption, call it with the result of a new query: what is disabled and recorded is not found again.
 * @param onProgress gets the number disabled so far.
 * @throws MigrationError `Contention` when another session locks one of the tables for some seconds: writers queue behind us.
 */
export async function disableFound(
  target: pg.ClientBase,
  migration: Migration,
  enabled: readonly EnabledTrigger[],
  made: boolean,
  onProgress: (disabled: number) => void = () => undefined,
): Promise<void> {
  const size = await lockableObjects([target], LOCKS_EACH, AT_ONCE);
  for (let at = 0; at < enabled.length; at += size) {
    let current: EnabledTrigger | undefined;
    const some = enabled.slice(at, at + size);
    const disableSome = async (): Promise<void> => {
      await noteDisabledClones(target, migration, some, made);
      for (const one of some) {
        current = one;
        await disable(target, migration, one, made);
      }
    };
    try {
      await inTransaction(target, disableSome, BEGIN);
    } catch (error) {
      if (current === undefined || sqlstate(error) !== SQLSTATE.lockNotAvailable) throw error;
      throw lockedByOther(migration, current, error);
    }
    onProgress(Math.min(at + size, enabled.length));
  }
}

function lockedByOther({ target }: Migration, one: EnabledTrigger, error: unknown): MigrationError {
  return new MigrationError(
    'Contention',
    `${nameOf(one)} could not be disabled: another session on "${target}" held the table locked for ${LOCK_TIMEOUT_MS / 1000} s`,
    { object: one.name },
    error,
  );
}

const LOCK_TIMEOUT_MS = 5_000;
const BEGIN = /* sql */ `begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}`;
/** A table and, if it has foreign keys, what the server locks in addition. */
const LOCKS_EACH = 4;
const AT_ONCE = 500;

/** The same for an event trigger. */
export async function disableEventTrigger(
  target: pg.ClientBase,
  migration: Migration,
  name: string,
): Promise<void> {
  await disableAll(
    target,
    migration,
    (await target.query<EnabledTrigger>(ENABLED_EVENT_TRIGGERS, [name])).rows,
    true,
  );
}

async function disableAll(
  target: pg.ClientBase,
  migration: Migration,
  enabled: readonly EnabledTrigger[],
  made: boolean,
): Promise<void> {
  await noteDisabledClones(target, migration, enabled, made);
  for (const one of enabled) await disable(target, migration, one, made);
}

async function disable(
  target: pg.ClientBase,
  migration: Migration,
  one: EnabledTrigger,
  made: boolean,
): Promise<void> {
  await target.query(switchTo(one, 'disable'));
  await noteDisabled(target, migration, one, made);
}

/**
 * Restores every disabled trigger and rule to its state on the source now, or to its recorded state when the source does not
 * have it. Skips those that were dropped. For the cutover (after the last change is applied) and for abort. Idempotent; works
 * in batches, so an error leaves some enabled. Returns how many.
 * @param checks see {@link ChecksOf}.
 * @throws MigrationError `SchemaFailed` with the trigger, `Unreachable` also for the source.
 */
export async function enableTriggers(
  migration: Migration,
  attempt: Attempt = {},
  checks: ChecksOf = 'the source',
): Promise<number> {
  return switchObjects(migration, attempt, { done: 'enabled', nothing: 0 }, async (session) => {
    const { target, all } = session;
    await addChecks(session, migration, checks, attempt);
    const rows = await readDisabledTriggers(target, migration, false);
    const clones = await readClones(target, migration);
    const states = await presentStates(migration, [...rows, ...clones], checks, attempt);
    const restore = async (one: DisabledTrigger) => {
      await target.query(restoringStatement({ ...one, state: states.get(one) ?? one.state }));
      await markDisabled(target, migration, one, true);
    };
    const parents = new Map(rows.map((one) => [one.oid, one]));
    const restoreClone = async (one: Clone) => {
      const parent = parents.get(one.below);
      const ofParent = parent && (states.get(parent) ?? parent.state);
      const state = states.get(one) ?? ofParent ?? one.state;
      // The record lets an undone cutover disable it again.
      await noteDisabled(target, migration, { ...one, state }, one.made);
      await restore({ ...one, state });
    };
    // Before their parents: after an interruption, the remaining clones are found by parents that still wait.
    await all(clones, nameOf, restoreClone);
    await all(rows.filter(isOnTable), nameOf, restore);
    await enableRowSecurity(session, migration, checks, attempt);
    const onLogin = await readOnLogin(target);
    await all(
      rows.filter((one) => isOnLogin(one, onLogin)),
      nameOf,
      (one) => noteState(target, migration, one, states.get(one) ?? one.state),
    );
    // Last: enabled, they would fire for the ALTER TABLE statements of the others.
    await all(
      rows.filter((one) => !isOnTable(one) && !isOnLogin(one, onLogin)),
      nameOf,
      restore,
    );
    return rows.length;
  });
}

/**
 * Login event triggers fire for our own sessions. One that writes a log would insert rows into the target that conflict with
 * the stream's when the cutover is undone, and one that fails would lock us out. They wait for the last session.
 */
const ON_LOGIN = /* sql */ `select oid::text from pg_catalog.pg_event_trigger where evtevent = 'login'`;

async function readOnLogin(target: pg.ClientBase): Promise<ReadonlySet<string>> {
  const { rows } = await target.query<{ oid: string }>(ON_LOGIN);
  return new Set(rows.map(({ oid }) => oid));
}

/** Compares oids only for event triggers: a table's trigger has an oid of another catalog, which may be equal. */
function isOnLogin(one: DisabledTrigger, onLogin: ReadonlySet<string>): boolean {
  return !isOnTable(one) && onLogin.has(one.oid);
}

/** Statements that restore login event triggers, for the transaction that drops the control schema: our last session. */
export async function readAsleepOnLogin(
  target: pg.ClientBase,
  migration: Migration,
): Promise<string[]> {
  if (!(await hasStore(target))) return [];
  const onLogin = await readOnLogin(target);
  if (onLogin.size === 0) return [];
  return (await readDisabledTriggers(target, migration, false))
    .filter((one) => isOnLogin(one, onLogin))
    .map(restoringStatement);
}

/**
 * Reverts {@link enableTriggers} when a cutover is undone: applied changes would fire the triggers. Idempotent; works in
 * batches, so an error leaves some enabled. Returns how many.
 * @throws MigrationError `AlreadySwitched`: the target is live; `SchemaFailed` with the trigger, `CheckpointMissing`.
 */
export async function disableTriggers(
  migration: Migration,
  attempt: Attempt = {},
): Promise<number> {
  const require = (target: pg.ClientBase) => refuseSwitched(target, migration);
  const doing = { done: 'disabled', nothing: 0, require } as const;
  return switchObjects(migration, attempt, doing, async (session) => {
    const { target, all } = session;
    const rows = await readDisabledTriggers(target, migration, true);
    const take = async (one: DisabledTrigger) => {
      await target.query(switchTo(one, 'disable'));
      await markDisabled(target, migration, one, false);
    };
    // Event triggers first: enabled, they would fire for the ALTER TABLE statements of the others.
    await all(
      rows.filter((one) => !isOnTable(one)),
      nameOf,
      take,
    );
    await all(rows.filter(isOnTable), nameOf, take);
    await disableRowSecurity(session, migration);
    await dropChecks(session, migration);
    return rows.length;
  });
}

function isOnTable({ kind }: EnabledTrigger): boolean {
  return kind !== 'event trigger';
}

/** States on the source of triggers that walferry created; those of the operator keep their recorded state. */
async function presentStates(
  migration: Migration,
  disabled_trigger: readonly DisabledTrigger[],
  of: ChecksOf,
  { signal }: Attempt,
): Promise<ReadonlyMap<EnabledTrigger, string>> {
  const made = disabled_trigger.filter((one) => one.made);
  if (made.length === 0 || of === 'nothing') return new Map();
  await using source = await openSource(migration, of, signal);
  return source ? await statesOn(source, made) : new Map();
}

function nameOf({ kind, name, schema_name, table_name }: EnabledTrigger): string {
  return `${kind} ${name}${table_name === '' ? '' : ` of ${schema_name}.${table_name}`}`;
}

/** Names of the triggers and rules that {@link enableTriggers} has yet to enable. */
export async function readAsleep(target: pg.ClientBase, migration: Migration): Promise<string[]> {
  const onLogin = await readOnLogin(target);
  return (await readDisabledTriggers(target, migration, false))
    .filter((one) => !isOnLogin(one, onLogin))
    .map(nameOf);
}
