/** What the source says about our slot. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';

export interface SlotState {
  readonly activePid: number | null;
  /** Null while it is being created: such a slot is not ready and never will be when its creator is gone. */
  readonly confirmedFlushLsn: Lsn | null;
  /** The server gave up the WAL that the slot needs. */
  readonly lost: boolean;
}

interface Row {
  active_pid: number | null;
  confirmed: string | null;
  status: string | null;
  ours: boolean;
}

/**
 * The slot of that name, or null.
 * @throws MigrationError `SlotBusy` when something else has the name: another database or plugin.
 */
export async function lookAtSlot(client: pg.ClientBase, slot: string): Promise<SlotState | null> {
  const { rows } = await client.query<Row>(
    /* sql */ `
    select active_pid, confirmed_flush_lsn::text as confirmed, wal_status as status,
           slot_type = 'logical' and plugin = 'wal2json' and database = current_database() as ours
      from pg_catalog.pg_replication_slots where slot_name = $1`,
    [slot],
  );
  const row = rows[0];
  if (!row) return null;
  if (!row.ours) {
    throw new MigrationError(
      'SlotBusy',
      `a slot named "${slot}" exists on the source for another database or plugin; drop it there with: select pg_drop_replication_slot('${slot}')`,
      { slot },
    );
  }
  return {
    activePid: row.active_pid,
    confirmedFlushLsn: row.confirmed === null ? null : parseLsn(row.confirmed),
    lost: row.status === 'lost',
  };
}
