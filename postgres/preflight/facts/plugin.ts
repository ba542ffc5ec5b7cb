/**
 * Probes a side's wal2json with a temporary slot: SQL shows neither the library nor its version, and no catalog has a hosted
 * server's right to create slots. The server loads the library before it waits for open transactions, so even a probe that times
 * out shows whether it is installed.
 */
import type pg from 'pg';
import { classify, sqlstate, SQLSTATE } from '../../connection/failure.ts';
import { connect } from '../../connection/connect.ts';
import { readBlockers, type Blocker } from '../../slot/blockers.ts';
import { probePluginOptions } from '../../slot/plugin-probe.ts';
import { pluginOptions } from '../../wal2json/plugin-options.ts';
import { shared, type SideReading } from '../reading.ts';

/** Result of the wal2json probe. */
export interface PluginFacts {
  /**
   * `usable`: a temporary slot was created. `missing`: no such library. `refused`: output_plugin_libraries does not allow it.
   * `denied`: the role may not create slots. `blocked`: it is installed, but open transactions blocked the probe.
   * `untried`: something else prevents the probe (wal_level, no free slot) and is reported by its own check.
   */
  readonly state: 'usable' | 'missing' | 'refused' | 'denied' | 'blocked' | 'untried';
  /** Whether it supports `numeric-data-types-as-string` (from 2.6 on); null if not tried. */
  readonly numericAsText: boolean | null;
  /** Options that the stream needs but this version lacks. */
  readonly refusedOptions: readonly string[];
  /** With `blocked`: the transactions that block it, as far as the role can see. */
  readonly blockers: readonly Blocker[];
}

/** A busy source creates the slot within a moment; only a long transaction delays it longer. */
const WAIT_MS = 3_000;
/** The server waits for one transaction after another; this limits the total. */
const WHOLE_MS = 10_000;

const WAITED: ReadonlySet<string> = new Set([SQLSTATE.lockNotAvailable, SQLSTATE.queryCanceled]);
/** No free slot, wal_level, a standby: each has its own check. */
const REPORTED_ELSEWHERE: ReadonlySet<string> = new Set([
  SQLSTATE.configurationLimitExceeded,
  SQLSTATE.notInPrerequisiteState,
]);
const UNTRIED: PluginFacts = {
  state: 'untried',
  numericAsText: null,
  refusedOptions: [],
  blockers: [],
};

/** Probed in a separate session. @throws MigrationError for any error that is not about the plugin. */
export const plugin = shared(
  async ({ service, server, signal }: SideReading): Promise<PluginFacts> => {
    await using client = await connect(service, 'preflight', {
      lockTimeoutMs: WAIT_MS,
      statementTimeoutMs: WHOLE_MS,
      signal,
    });
    try {
      const slot = await temporarySlot(client);
      const { numericAsText } = await probePluginOptions(client, slot);
      const refusedOptions = await refused(
        client,
        slot,
        pluginOptions({ schemas: null, numericAsText }),
      );
      await drop(client, slot);
      return { state: 'usable', numericAsText, refusedOptions, blockers: [] };
    } catch (error) {
      signal.throwIfAborted();
      const state = sqlstate(error) ?? '';
      if (WAITED.has(state)) {
        const blockers = await readBlockers(client, await nextTransaction(client));
        return { ...UNTRIED, state: 'blocked', blockers };
      }
      if (state === SQLSTATE.undefinedFile) return { ...UNTRIED, state: 'missing' };
      if (state === SQLSTATE.insufficientPrivilege) {
        // With the attribute, the server refuses the library, not the slot.
        const { superuser, replication } = server.role;
        return { ...UNTRIED, state: superuser || replication ? 'refused' : 'denied' };
      }
      if (REPORTED_ELSEWHERE.has(state)) return UNTRIED;
      throw classify(error, { step: `trying wal2json on "${service}"` }, 'Internal');
    }
  },
);

/** The session's slot, created if missing. Its name does not count as a migration's slot, and it ends with the session. */
async function temporarySlot(client: pg.ClientBase): Promise<string> {
  const { rows } = await client.query<{ slot: string }>(/* sql */ `
    select coalesce(
      (select slot_name from pg_catalog.pg_replication_slots
        where slot_name = 'walferry_probe_' || pg_backend_pid()),
      (select slot_name
         from pg_create_logical_replication_slot('walferry_probe_' || pg_backend_pid(), 'wal2json', true))) as slot`);
  return rows[0]?.slot ?? '';
}

async function drop(client: pg.ClientBase, slot: string): Promise<void> {
  await client.query(
    /* sql */ `select pg_drop_replication_slot(slot_name)
                 from pg_catalog.pg_replication_slots where slot_name = $1`,
    [slot],
  );
}

/** The options that the plugin lacks; first tries all together, because an error drops the session's temporary slots. */
async function refused(
  client: pg.ClientBase,
  slot: string,
  options: Readonly<Record<string, string>>,
): Promise<string[]> {
  const takes = async (some: readonly (readonly [string, string])[]): Promise<boolean> => {
    await temporarySlot(client);
    try {
      // Only up to '0/1': the plugin reads its options but decodes nothing.
      await client.query(
        /* sql */ `select pg_logical_slot_peek_changes($1, '0/1', 1, variadic $2::text[])`,
        [slot, some.flat()],
      );
      return true;
    } catch (error) {
      if (sqlstate(error) === SQLSTATE.invalidParameterValue) return false;
      throw error;
    }
  };
  const all = Object.entries(options);
  if (await takes(all)) return [];
  const names: string[] = [];
  for (const one of all) if (!(await takes([one]))) names.push(one[0]);
  return names;
}

/** Not the snapshot's xmax: that is one above the newest *ended* transaction, and may itself be the blocking one. */
async function nextTransaction(client: pg.ClientBase): Promise<bigint> {
  const { rows } = await client.query<{ xid: string }>(
    /* sql */ `select pg_current_xact_id()::text as xid`,
  );
  return BigInt(rows[0]?.xid ?? 0);
}
