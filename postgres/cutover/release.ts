/**
 * The slot at the end of a cutover: dropped only by an attempt that has read it and found no change after the end mark. Earlier steps
 * may have waited for hours while writers resumed, and their writes would be lost with the slot.
 *
 * Check and drop cannot be atomic. If no transaction id was assigned since the check began, the window is one statement. On a server
 * with constant writes to other tables or databases it is the duration of the final check, usually less than a second.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { classify } from '../connection/failure.ts';
import { connectSource } from '../identity/connect.ts';
import { endUsers } from '../slot/drop.ts';
import { BEING_WRITTEN, lastLook, type LastLook } from './later-changes.ts';

/** Checks that require a server without any writes; after them, only writers of selected tables matter. */
const QUIET_LOOKS = 4;
const SHOWN_TABLES = 20;

/** One statement, so there is no round trip between the last check and the drop. */
const DROP = /* sql */ `
select pg_catalog.pg_drop_replication_slot($2)::text as dropped
 where ($3::text is null or pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text = $3)
   and not exists (${BEING_WRITTEN})`;

/**
 * Looks once more and drops the slot. Idempotent.
 * @param since the end mark.
 * @returns `absent` when there was none: an earlier attempt dropped it, and its answer was lost.
 * @throws MigrationError `StillWriting` naming the tables, with the slot left as it is; `SlotBusy`, `Denied`, `Unreachable`;
 *   `signal.reason` when aborted.
 */
export async function releaseSlot(
  migration: Migration,
  input: MigrationInput,
  since: Lsn,
  signal: AbortSignal = new AbortController().signal,
): Promise<'dropped' | 'absent'> {
  try {
    await using source = await connectSource(migration, 'cleanup', { signal });
    for (let looks = 1; ; looks += 1) {
      // A stream that was overtaken may still hold it.
      await endUsers(source, migration.slot);
      if (!(await exists(source, migration.slot))) return 'absent';
      const seen = await lastLook(migration, input, since, signal);
      if (seen.tables.length > 0) throw stillWriting(seen.tables, since);
      const patient = looks <= QUIET_LOOKS;
      if (patient && seen.next === null) continue;
      if (await drop(source, migration.slot, seen, patient)) return 'dropped';
    }
  } catch (error) {
    signal.throwIfAborted();
    const step = `dropping slot "${migration.slot}"`;
    throw classify(error, { step, side: 'source' }, 'Internal');
  }
}

/** The answer of a cutover that writers keep from completing. */
export function stillWriting(tables: readonly string[], since: Lsn): MigrationError {
  const more = tables.length > SHOWN_TABLES ? ` and ${tables.length - SHOWN_TABLES} more` : '';
  return new MigrationError(
    'StillWriting',
    `${tables.slice(0, SHOWN_TABLES).join(', ')}${more} changed after the end mark ${since}, or an open or prepared transaction is writing to it: stop the writers and end their transactions, then call cutover again`,
    { table: tables[0] ?? '' },
  );
}

async function exists(source: pg.ClientBase, slot: string): Promise<boolean> {
  const { rowCount } = await source.query(
    /* sql */ `select from pg_catalog.pg_replication_slots where slot_name = $1`,
    [slot],
  );
  return rowCount === 1;
}

/** @returns whether it was dropped; false: something was written, or is being written, since the look. */
async function drop(
  source: pg.ClientBase,
  slot: string,
  { oids, next }: LastLook,
  patient: boolean,
): Promise<boolean> {
  const { rowCount } = await source.query(DROP, [oids, slot, patient ? next : null]);
  return rowCount === 1;
}
