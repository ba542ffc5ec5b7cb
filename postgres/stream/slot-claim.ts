/** Checks of the slot: usable for the stream, not in use by another session, and released at the end. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { endBackends, untilEnded } from '../connection/backends.ts';
import { usersOf } from '../slot/drop-slot.ts';

/** How long another session may hold the slot after it was terminated. */
const BUSY_MS = 15_000;
/** The walsender notices a closed connection in its next loop, but it may be in the middle of a huge transaction. */
const RELEASE_MS = 5_000;
const POLL_MS = 50;

interface SlotRow {
  readonly plugin: string | null;
  readonly here: boolean;
  readonly wal_status: string | null;
  readonly confirmed: string | null;
}

/**
 * Refuses a slot that cannot deliver everything after the stored LSN.
 * @throws MigrationError `SlotMissing` when it is gone, invalidated or not walferry's; `CheckpointMissing` when its confirmed LSN
 *   is beyond the stored LSN: the WAL between them is gone, and the server would silently skip it.
 */
export async function checkSlot(
  source: pg.ClientBase,
  migration: Migration,
  stored: Lsn,
): Promise<void> {
  const { slot } = migration;
  const { rows } = await source.query<SlotRow>(
    /* sql */ `
      select plugin, database = current_database() as here, wal_status,
             confirmed_flush_lsn::text as confirmed
        from pg_replication_slots where slot_name = $1`,
    [slot],
  );
  const row = rows[0];
  if (!row) throw missing(slot, 'does not exist');
  if (row.plugin !== 'wal2json' || !row.here)
    throw missing(slot, 'belongs to another database or plugin');
  if (row.wal_status === 'lost') throw missing(slot, 'was invalidated (wal_status = lost)');
  if (row.confirmed === null)
    throw missing(slot, 'has no confirmed LSN: its creation did not finish');
  const confirmed = parseLsn(row.confirmed);
  if (compareLsn(stored, confirmed) < 0) {
    throw new MigrationError(
      'CheckpointMissing',
      `the target's applied LSN is ${stored}, but slot "${slot}" is confirmed up to ${confirmed}: the target was restored or replaced`,
      { slot, lsn: stored },
    );
  }
}

/** What allows an attempt to terminate the session that holds the slot. */
export interface SlotClaim {
  /** Called before each retry. */
  readonly waiting: () => void;
  /** Throws when a newer attempt has taken over: then the session that holds the slot belongs to it. */
  readonly stillMine: () => Promise<void>;
}

/**
 * Opens what needs the slot. While another session holds it, terminates that session (an earlier attempt of this migration:
 * no one else uses the name) and retries.
 */
export async function withSlotFree<T>(
  source: pg.ClientBase,
  migration: Migration,
  open: () => Promise<T>,
  { waiting, stillMine }: SlotClaim,
): Promise<T> {
  const deadline = performance.now() + BUSY_MS;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const busy = error instanceof MigrationError && error.code === 'SlotBusy';
      if (!busy || performance.now() > deadline) throw error;
      waiting();
      await stillMine();
      await endBackends(source, usersOf(migration.slot));
      await sleep(POLL_MS);
    }
  }
}

/** Waits until the source has recorded the confirmed LSN; false after a timeout, which costs only a re-read. */
export async function confirmedBySource(
  source: pg.ClientBase,
  slot: string,
  lsn: Lsn,
): Promise<boolean> {
  return poll(async () => {
    const { rowCount } = await source.query(
      /* sql */ `select from pg_replication_slots where slot_name = $1 and confirmed_flush_lsn >= $2`,
      [slot, lsn],
    );
    return rowCount === 1;
  });
}

/** Waits until no session holds the slot, so that the next one does not fail with 55006. Terminates ours if it remains. */
export async function released(
  source: pg.ClientBase,
  slot: string,
  ours: number | null,
): Promise<boolean> {
  const user = /* sql */ `select active_pid from pg_catalog.pg_replication_slots where slot_name = $1 and active_pid = $2`;
  const free = async (): Promise<boolean> =>
    (await source.query(user, [slot, ours])).rowCount === 0;
  if (ours === null || (await poll(free))) return true;
  const left = await untilEnded(
    source,
    { pids: user, values: [slot, ours] },
    { withinMs: RELEASE_MS },
  );
  return left.length === 0;
}

async function poll(done: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + RELEASE_MS;
  for (;;) {
    if (await done()) return true;
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
}

function missing(slot: string, what: string): MigrationError {
  return new MigrationError('SlotMissing', `slot "${slot}" ${what}`, { slot });
}
