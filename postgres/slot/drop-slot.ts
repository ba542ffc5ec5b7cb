/**
 * Drops the slot permanently. A slot in use cannot be dropped, so its session is terminated first. A creator that died may have
 * left a waiting backend on the source that creates the slot later: it is terminated, too, and the result is checked again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { endBackends, type Backends } from '../connection/backends.ts';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';
import { connectSource } from '../session/open.ts';

/** A terminated walsender releases its slot within milliseconds; one that rolls back or flushes may take longer. */
const DEADLINE_MS = 20_000;
const POLL_MS = 50;

/**
 * Drops the migration's slot, even if it is in use. Idempotent.
 * @returns `absent` if there was none (and no session was creating it).
 * @throws MigrationError `SlotBusy` if it stays in use, `Denied` if its session may not be terminated, `Unreachable`,
 *   `WrongServer`: a slot that is absent on the wrong server still retains WAL on the right one.
 */
export async function dropSlot(migration: Migration): Promise<'dropped' | 'absent'> {
  try {
    await using client = await connectSource(migration, 'cleanup', {
      unregistered: 'any more',
      aside: true,
    });
    return await removeSlot(client, migration.slot);
  } catch (error) {
    throw classify(
      error,
      { step: `dropping slot "${migration.slot}"`, side: 'source' },
      'Internal',
    );
  }
}

/** {@link dropSlot} on an existing session. */
export async function removeSlot(
  client: pg.ClientBase,
  slot: string,
): Promise<'dropped' | 'absent'> {
  const deadline = performance.now() + DEADLINE_MS;
  let found = false;
  for (;;) {
    const pids = await endBackends(client, usersOf(slot));
    const exists = await tryDrop(client, slot);
    found ||= exists || pids.length > 0;
    // Only gone if it does not exist and no session can still create it.
    if (!exists && pids.length === 0) return found ? 'dropped' : 'absent';
    if (performance.now() > deadline) {
      throw new MigrationError(
        'SlotBusy',
        `slot "${slot}" is still in use${pids.length > 0 ? ` by pid ${pids.join(', ')}` : ''} after ${DEADLINE_MS / 1000} s`,
        { slot, pids },
      );
    }
    await sleep(POLL_MS);
  }
}

/**
 * Drops a slot that the server has invalidated, in one statement: an attempt that was frozen after it saw that must not drop the one
 * that another attempt has made since.
 */
export async function dropLostSlot(client: pg.ClientBase, slot: string): Promise<void> {
  await client.query(
    /* sql */ `
    select pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots
     where slot_name = $1 and wal_status = 'lost'`,
    [slot],
  );
}

/** The backends that use or create the slot. */
export function usersOf(slot: string): Backends {
  // The creating statement contains the slot's name as a literal, see create-slot.ts.
  return {
    pids: /* sql */ `
      select active_pid from pg_catalog.pg_replication_slots
       where slot_name = $1 and active_pid is not null
      union
      select pid from pg_catalog.pg_stat_activity
       where state = 'active' and query like '%pg_create_logical_replication_slot%'
         and strpos(query, $1) > 0`,
    values: [slot],
  };
}

/** @returns whether the slot existed. */
async function tryDrop(client: pg.ClientBase, slot: string): Promise<boolean> {
  try {
    await client.query(/* sql */ `select pg_drop_replication_slot($1)`, [slot]);
    return true;
  } catch (error) {
    const state = sqlstate(error);
    if (state === SQLSTATE.undefinedObject) return false;
    if (state === SQLSTATE.objectInUse) return true;
    throw error;
  }
}
