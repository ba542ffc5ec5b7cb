/** The state of our slot on the source. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';

export interface SlotState {
  readonly activePid: number | null;
  /** Null while it is being created; without its creator, such a slot never becomes ready. */
  readonly confirmedFlushLsn: Lsn | null;
  /** The server removed WAL that the slot needs. */
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
 * @throws MigrationError `SlotBusy` if the slot belongs to another database or plugin.
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
      `slot "${slot}" on the source belongs to another database or plugin; drop it there: select pg_drop_replication_slot('${slot}')`,
      { slot },
    );
  }
  return {
    activePid: row.active_pid,
    confirmedFlushLsn: row.confirmed === null ? null : parseLsn(row.confirmed),
    lost: row.status === 'lost',
  };
}
