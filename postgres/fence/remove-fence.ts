/**
 * Removes a migration's fence from a server, on either side and in any state. DROP TRIGGER takes ACCESS EXCLUSIVE, and readers queue
 * behind the request: each table alone and briefly, and what is locked is tried again. What is left does nothing when it is open,
 * and is reported by name.
 *
 * It does not ask what the fence is for: whoever removes a sealed one gives the writes back to that server.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { MOST_NAMED, type RemovalReport } from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { FENCE_SCHEMA } from '../catalog/own-object.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { fenceNames } from './fence-name.ts';
import { dropGate, hasGate } from './gate.ts';
import { BRIEFLY } from './install-triggers.ts';

/** Rounds over what is still locked, with a pause before each further one. */
const ROUNDS = 5;
const PAUSE_MS = 300;

/** Tables with a trigger of this fence, whatever its name is now. */
const HOLDING = /* sql */ `
select n.nspname as schema, c.relname as name, g.tgname as trigger
  from pg_catalog.pg_trigger g
  join pg_catalog.pg_class c on c.oid = g.tgrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where g.tgfoid = pg_catalog.to_regprocedure($1) and not g.tgisinternal order by 1, 2`;

interface Holding extends TableName {
  readonly trigger: string;
}

/** Idempotent. @throws an error of the driver that is neither a lock nor a right; `signal.reason` when aborted. */
export async function removeFenceFrom(
  client: pg.ClientBase,
  migration: Pick<Migration, 'id'>,
  { signal, beat }: Pick<Work, 'signal' | 'beat'>,
): Promise<RemovalReport> {
  if (!(await hasGate(client))) return { left: [] };
  const { functionSql } = fenceNames(migration);
  const holding = async () => (await client.query<Holding>(HOLDING, [`${functionSql}()`])).rows;
  let waiting = await holding();
  for (let round = 1; waiting.length > 0 && round <= ROUNDS; round += 1) {
    if (round > 1) await sleep(PAUSE_MS);
    let denied = false;
    for (const [at, one] of waiting.entries()) {
      signal.throwIfAborted();
      beat({ step: 'removing the fence', tables: at, of: waiting.length });
      denied = (await drop(client, dropTrigger(one))) === 'denied' || denied;
    }
    // Only a table's owner may drop its triggers; the function is ours, and takes all of them along.
    if (denied) await drop(client, /* sql */ `drop function if exists ${functionSql}() cascade`);
    waiting = await holding();
  }
  if (waiting.length > 0) return { left: named(waiting) };
  return (await drop(client, () => dropGate(client, migration))) === 'done'
    ? { left: [] }
    : { left: [`schema ${FENCE_SCHEMA}`] };
}

const dropTrigger = ({ trigger, ...table }: Holding) =>
  /* sql */ `drop trigger if exists ${pg.escapeIdentifier(trigger)} on ${quoted(table)}`;

/** The table was dropped or renamed meanwhile, or the schema holds something of others: the next look decides. */
const LATER = new Set<string>([
  SQLSTATE.lockNotAvailable,
  SQLSTATE.deadlockDetected,
  SQLSTATE.undefinedTable,
  SQLSTATE.invalidSchemaName,
  '2BP01', // dependent_objects_still_exist
]);

async function drop(
  client: pg.ClientBase,
  how: string | (() => Promise<void>),
): Promise<'done' | 'denied' | 'later'> {
  try {
    if (typeof how === 'string') await inTransaction(client, () => client.query(how), BRIEFLY);
    else await how();
    return 'done';
  } catch (error) {
    const state = sqlstate(error) ?? '';
    if (state === SQLSTATE.insufficientPrivilege) return 'denied';
    if (LATER.has(state)) return 'later';
    throw error;
  }
}

function named(waiting: readonly Holding[]): string[] {
  const names = waiting
    .slice(0, MOST_NAMED)
    .map((one) => `trigger ${one.trigger} of ${nameOf(one)}`);
  return waiting.length > MOST_NAMED
    ? [...names, `and ${waiting.length - MOST_NAMED} more`]
    : names;
}
