/**
 * Triggers, rules and event triggers that would fire while walferry applies changes. Ordinary ones are quiet in replica
 * role; those that are ENABLE ALWAYS or ENABLE REPLICA would fire for every row once more than on the source. They are
 * disabled in the transaction that makes them, remembered, and given back their state at cutover; a cutover that is undone
 * disables them again.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { connectTarget } from '../identity/connect.ts';
import { takeTurn } from '../control/turn.ts';
import { addChecks, dropChecks } from './deferred-check.ts';
import type { TableName } from './existing.ts';
import { failed } from './statement.ts';

type Kind = 'trigger' | 'rule' | 'event trigger';

interface Loud {
  readonly kind: Kind;
  readonly schema_name: string;
  readonly table_name: string;
  readonly name: string;
  readonly state: string;
}

/** A table on the target that somebody reads is free again within moments; longer, and the operator should know. */
const LOCK_TIMEOUT_MS = 5_000;

/** Partitions of a table have clones of its triggers, each with a state of its own. */
const LOUD_ON_TABLES = /* sql */ `
with recursive named as (
  select c.oid from unnest($1::text[], $2::text[]) as wanted(schema, name)
    join pg_catalog.pg_namespace n on n.nspname = wanted.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
), tree (oid) as (
  select oid from named
  -- Not pg_partition_tree(), which locks all partitions until the transaction ends.
  union select i.inhrelid from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid
         join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relispartition
), loud as (
  select 'trigger' as kind, tgrelid as relid, tgname as name, tgenabled as state
    from pg_catalog.pg_trigger where not tgisinternal
  union all
  select 'rule', ev_class, rulename, ev_enabled from pg_catalog.pg_rewrite where ev_type <> '1'
)
select l.kind, n.nspname as schema_name, c.relname as table_name, l.name, l.state
  from loud l join tree t on t.oid = l.relid
  join pg_catalog.pg_class c on c.oid = l.relid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where l.state::text = any($3)`;

const LOUD_EVENTS = /* sql */ `
select 'event trigger' as kind, '' as schema_name, '' as table_name, evtname as name, evtenabled as state
  from pg_catalog.pg_event_trigger where evtname = $1 and evtenabled <> 'D'`;

/**
 * Which states fire while changes are applied: with the right to replica role only ALWAYS and REPLICA, without it all
 * that are enabled.
 */
export async function loudStates(target: pg.ClientBase): Promise<string[]> {
  try {
    await target.query(/* sql */ `set session_replication_role = replica`);
    await target.query(/* sql */ `reset session_replication_role`);
    return ['A', 'R'];
  } catch {
    return ['O', 'A', 'R'];
  }
}

/** Disables and remembers what is loud on these tables, in the caller's transaction. Returns how many. */
export async function quietTables(
  target: pg.ClientBase,
  migration: Migration,
  tables: readonly TableName[],
  states: readonly string[],
): Promise<number> {
  const { rows } = await target.query<Loud>(LOUD_ON_TABLES, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
    states,
  ]);
  await quiet(target, migration, rows);
  return rows.length;
}

/** The same for an event trigger. */
export async function quietEvent(
  target: pg.ClientBase,
  migration: Migration,
  name: string,
): Promise<void> {
  await quiet(target, migration, (await target.query<Loud>(LOUD_EVENTS, [name])).rows);
}

async function quiet(
  target: pg.ClientBase,
  migration: Migration,
  loud: readonly Loud[],
): Promise<void> {
  for (const one of loud) {
    await target.query(switchTo(one, 'disable'));
    await target.query(
      /* sql */ `
      insert into walferry.quieted (migration, kind, schema_name, table_name, name, state)
      values ($1, $2, $3, $4, $5, $6)
      on conflict (migration, kind, schema_name, table_name, name) do nothing`,
      [migration.id, one.kind, one.schema_name, one.table_name, one.name, one.state],
    );
  }
}

const SWITCH: Readonly<Record<string, string>> = {
  O: 'enable',
  A: 'enable always',
  R: 'enable replica',
};

function switchTo(one: Loud, action: string): string {
  const name = pg.escapeIdentifier(one.name);
  if (one.kind === 'event trigger') return /* sql */ `alter event trigger ${name} ${action}`;
  const table = `${pg.escapeIdentifier(one.schema_name)}.${pg.escapeIdentifier(one.table_name)}`;
  return /* sql */ `alter table only ${table} ${action} ${one.kind} ${name}`;
}

/** What both directions need of the activity that runs them. */
type Attempt = Partial<Pick<Work, 'signal' | 'scheduledAt'>>;

/**
 * Gives every quieted trigger and rule the state back that it has on the source. For cutover (after the last change was
 * applied) and for abort. Idempotent; all or none. Returns how many.
 * @throws MigrationError `SchemaFailed` naming the trigger.
 */
export async function enableTriggers(migration: Migration, attempt: Attempt = {}): Promise<number> {
  return switched(migration, attempt, 'enabled', async (target, at) => {
    // Before event triggers are awake.
    await addChecks(target, migration, at);
    const rows = await turned(target, migration, true);
    for (const one of rows) {
      at(nameOf(one));
      await target.query(switchTo(one, SWITCH[one.state] ?? 'enable'));
    }
    at('row security');
    await enableRowSecurity(target, migration);
    return rows.length;
  });
}

/**
 * Takes {@link enableTriggers} back, for a cutover that was undone: applied changes would fire them. Idempotent; all or
 * none. Returns how many.
 * @throws MigrationError `SchemaFailed` naming the trigger, `CheckpointMissing`.
 */
export async function quietTriggers(migration: Migration, attempt: Attempt = {}): Promise<number> {
  return switched(migration, attempt, 'disabled', async (target, at) => {
    const rows = await turned(target, migration, false);
    // Event triggers first here: they would fire for the others' ALTER TABLE.
    for (const one of rows.reverse()) {
      at(nameOf(one));
      await target.query(switchTo(one, 'disable'));
    }
    at('row security');
    await disableRowSecurity(target, migration);
    at('check constraints');
    await dropChecks(target, migration);
    return rows.length;
  });
}

/** One transaction that nobody who was overtaken commits. */
async function switched(
  migration: Migration,
  { signal, scheduledAt }: Attempt,
  done: 'enabled' | 'disabled',
  work: (target: pg.ClientBase, at: (what: string) => void) => Promise<number>,
): Promise<number> {
  await using target = await connectTarget(migration, 'cutover', {
    unregistered: 'any more',
    ...(signal && { signal }),
  }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw failed(error, { what: 'the target could not be reached', code: 'Unreachable' });
  });
  let at = 'triggers';
  try {
    const there = await target.query<{ there: boolean }>(
      /* sql */ `select to_regclass('walferry.quieted') is not null as there`,
    );
    if (there.rows[0]?.there !== true) return 0;
    const turn = await takeTurn(target, migration, scheduledAt);
    await target.query('begin');
    // Writers that start again while this waits would write to a source whose slot is about to go.
    await target.query(/* sql */ `set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await turn.hold();
    const count = await work(target, (what) => (at = what));
    await target.query('commit');
    return count;
  } catch (error) {
    signal?.throwIfAborted();
    if (sqlstate(error) === SQLSTATE.lockNotAvailable) {
      // Not a case for trying again by itself: the cutover is undone instead of waiting with its writers stopped.
      const seconds = LOCK_TIMEOUT_MS / 1000;
      throw new MigrationError(
        'SchemaFailed',
        `${at} could not be ${done}: another session on "${migration.target}" held the table locked for ${seconds} s`,
        { object: at },
      );
    }
    throw failed(error, { what: `${at} could not be ${done}`, code: 'SchemaFailed', object: at });
  }
}

/**
 * Notes that what was quieted gets its state back, or loses it again: whatever was not so already, event triggers last,
 * because they would fire for the others' ALTER TABLE.
 */
async function turned(
  target: pg.ClientBase,
  migration: Migration,
  givenBack: boolean,
): Promise<Loud[]> {
  const { rows } = await target.query<Loud>(
    /* sql */ `
    update walferry.quieted set given_back = $2 where migration = $1 and given_back <> $2
    returning kind, schema_name, table_name, name, state`,
    [migration.id, givenBack],
  );
  return rows.sort(
    (a, b) => Number(a.kind === 'event trigger') - Number(b.kind === 'event trigger'),
  );
}

function nameOf({ kind, name, schema_name, table_name }: Loud): string {
  return `${kind} ${name}${table_name === '' ? '' : ` of ${schema_name}.${table_name}`}`;
}

/** Row security that had to wait because it would have hidden rows from the role that applied changes to them. */
async function enableRowSecurity(target: pg.ClientBase, migration: Migration): Promise<void> {
  const { rows } = await target.query<{ sql: string }>(
    /* sql */ `
    update walferry.schema_entry set done_at = now()
     where migration = $1 and kind = 'ROW SECURITY' and done_at is null returning sql`,
    [migration.id],
  );
  for (const { sql } of rows) await target.query(sql);
}

/** Has to wait again. A role that row security does not bind built it long before, and loses nothing by it either way. */
async function disableRowSecurity(target: pg.ClientBase, migration: Migration): Promise<void> {
  const { rows } = await target.query<{ schema_name: string; name: string }>(
    /* sql */ `
    update walferry.schema_entry set done_at = null
     where migration = $1 and kind = 'ROW SECURITY' and done_at is not null
       and not (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user)
    returning schema_name, name`,
    [migration.id],
  );
  for (const { schema_name, name } of rows) {
    const table = `${pg.escapeIdentifier(schema_name)}.${pg.escapeIdentifier(name)}`;
    await target.query(/* sql */ `alter table ${table} disable row level security`);
  }
}
