/** What earlier migrations left: slots on the source, control rows on the target, and which of them belong together. */
import type pg from 'pg';
import { slotPrefix } from '../../contract/migration.ts';

export interface LeftSlot {
  readonly name: string;
  /** WAL that the source keeps for it, bytes; null when it keeps none. */
  readonly retainedBytes: number | null;
  readonly activePid: number | null;
}

export interface LeftControl {
  /** Id of the migration. */
  readonly id: string;
  readonly workflowId: string;
  readonly slot: string;
  readonly sourceSystem: string;
  readonly sourceDatabase: string;
  readonly createdAt: string;
  readonly confirmedLsn: string | null;
}

export interface Leftovers {
  readonly slots: readonly LeftSlot[];
  readonly controls: readonly LeftControl[];
  /** The identity of the source, to recognise control rows of another source. */
  readonly sourceSystem: string;
  readonly sourceDatabase: string;
}

/** Temporary slots end with their session and are never left over. */
const SLOTS = /* sql */ `
select slot_name as name, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::text as retained,
       active_pid as pid
from pg_replication_slots
where slot_name like 'walferry\\_%' and not temporary and database = current_database()
order by slot_name`;

const CONTROLS = /* sql */ `
select id, workflow_id as "workflowId", slot, source_system as "sourceSystem",
       source_database as "sourceDatabase", to_char(created_at, 'YYYY-MM-DD HH24:MI TZ') as "createdAt",
       confirmed_lsn::text as "confirmedLsn"
from walferry.migration order by created_at`;

/** Reads both sides; changes nothing. */
export async function readLeftovers(
  source: pg.ClientBase,
  target: pg.ClientBase,
): Promise<Leftovers> {
  const slots = await source.query<{ name: string; retained: string | null; pid: number | null }>(
    SLOTS,
  );
  const there = await target.query<{ there: boolean }>(
    /* sql */ `select to_regclass('walferry.migration') is not null as there`,
  );
  const controls =
    there.rows[0]?.there === true ? (await target.query<LeftControl>(CONTROLS)).rows : [];
  const identity = await source.query<{ system: string; database: string }>(
    /* sql */ `select system_identifier::text as system, current_database() as database from pg_control_system()`,
  );
  return {
    slots: slots.rows.map(({ name, retained, pid }) => ({
      name,
      retainedBytes: retained === null ? null : Number(retained),
      activePid: pid,
    })),
    controls,
    sourceSystem: identity.rows[0]?.system ?? '',
    sourceDatabase: identity.rows[0]?.database ?? '',
  };
}

export interface Selection {
  readonly controls: readonly LeftControl[];
  /** Slots that certainly belong to the workflow id. */
  readonly slots: readonly LeftSlot[];
  /** Slots whose name matches, but also matches another workflow id with the same slot prefix (`a-b` and `a_b`). */
  readonly unsure: readonly LeftSlot[];
}

/**
 * What belongs to a workflow id. Pure.
 * @param known slot names of the runs known to the Temporal server.
 */
export function selectLeftovers(
  { slots, controls }: Pick<Leftovers, 'slots' | 'controls'>,
  workflowId: string,
  known: ReadonlySet<string>,
): Selection {
  const mine = controls.filter((control) => control.workflowId === workflowId);
  const sure = new Set([...known, ...mine.map(({ slot }) => slot)]);
  const others = new Set(
    controls.filter((control) => control.workflowId !== workflowId).map(({ slot }) => slot),
  );
  const prefix = slotPrefix(workflowId);
  const fits = ({ name }: LeftSlot) =>
    name.startsWith(prefix) && /^[0-9a-f]{16}$/.test(name.slice(prefix.length));
  return {
    controls: mine,
    slots: slots.filter(({ name }) => sure.has(name)),
    unsure: slots.filter((slot) => fits(slot) && !sure.has(slot.name) && !others.has(slot.name)),
  };
}
