/** Replication slots of a side's server. */
import { shared, type Reading } from '../reading.ts';

export interface SlotFacts {
  readonly name: string;
  /** Null for a physical slot. */
  readonly database: string | null;
  readonly active: boolean;
  readonly temporary: boolean;
  /** WAL that the server retains for it. */
  readonly retainedBytes: number;
}

export const slots = shared(async (of: Reading): Promise<SlotFacts[]> => {
  const { rows } = await of.client.query<SlotFacts>(/* sql */ `
    select slot_name as name, database, active, temporary,
           coalesce(case when not pg_is_in_recovery() then
             pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) end, 0)::float8 as "retainedBytes"
      from pg_catalog.pg_replication_slots order by slot_name`);
  return rows;
});
