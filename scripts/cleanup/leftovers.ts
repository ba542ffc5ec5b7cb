/** What earlier migrations left: slots on the source, control rows on the target, and which of them belong together. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { slotPrefix } from '../../contract/slot-name.ts';
import { readGates, type FoundGate } from '../../postgres/fence/gate.ts';
import {
  readRegistered,
  readWaysBack,
  type RegisteredMigration,
} from '../../postgres/store/registered.ts';
import { requireKnownVersion } from '../../postgres/store/upgrade.ts';

export interface LeftSlot {
  readonly name: string;
  /** WAL that the source keeps for it, bytes; null when it keeps none. */
  readonly retainedBytes: number | null;
  readonly activePid: number | null;
}

export type LeftWayBack = Pick<RegisteredMigration, 'id' | 'workflowId' | 'slot'>;

export interface Leftovers {
  readonly slots: readonly LeftSlot[];
  readonly controls: readonly RegisteredMigration[];
  /** Ways back, whose state is on the source and whose slot is on the target. */
  readonly backs: readonly LeftWayBack[];
  /** Fences, of any migration, on either side. */
  readonly fences: Readonly<Record<'source' | 'target', readonly FoundGate[]>>;
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

/**
 * Reads both sides; changes nothing.
 * @throws MigrationError `StoreTooNew`, `StoreTooOld`: what another version of walferry recorded (disabled triggers, deferred
 *   constraints) would not be found and restored.
 */
export async function readLeftovers(
  source: pg.ClientBase,
  target: pg.ClientBase,
  { source: sourceService, target: service }: Pick<Migration, 'source' | 'target'>,
): Promise<Leftovers> {
  const slots = await source.query<{ name: string; retained: string | null; pid: number | null }>(
    SLOTS,
  );
  const version = await requireKnownVersion(target, service);
  const controls = version === null ? [] : await readRegistered(target);
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
    backs:
      (await requireKnownVersion(source, sourceService)) === null ? [] : await readWaysBack(source),
    fences: { source: await readGates(source), target: await readGates(target) },
    sourceSystem: identity.rows[0]?.system ?? '',
    sourceDatabase: identity.rows[0]?.database ?? '',
  };
}

export interface Selection {
  readonly controls: readonly RegisteredMigration[];
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
