/** Disables triggers and rules of the target that would fire for copied and applied rows, until the cutover. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Purpose } from '../connection/connect.ts';
import { backendPidOf } from '../connection/socket.ts';
import { firingStates, readEnabledTriggers, readEnabledOnPlanned } from './enabled-trigger.ts';
import { disableFound } from './disable-trigger.ts';
import { whileWatched } from '../session/liveness.ts';

const SHOWN = 5;

interface Disabling extends Pick<Work, 'log' | 'beat'> {
  readonly replicaRole: boolean;
  /** Purpose of the session. */
  readonly purpose: Purpose;
}

/**
 * Disables enabled triggers and rules; call it between two transactions of the session. Sends heartbeats while the server
 * works or waits for a lock.
 * @param tables of the target; `all` for every table that the migration follows.
 * @throws MigrationError `Contention` when another session locks one of the tables for some seconds.
 */
export async function disableEnabledTriggers(
  target: pg.Client,
  migration: Migration,
  tables: readonly TableName[] | 'all',
  { replicaRole, purpose, log, beat }: Disabling,
): Promise<void> {
  const progress = { step: 'disabling triggers on the target', objects: 0 };
  const enabled = await whileWatched(
    [{ side: 'target', migration, purpose, pid: backendPidOf(target) }],
    { beat },
    () => ({ ...progress }),
    async () => {
      const states = firingStates(replicaRole);
      const found =
        tables === 'all'
          ? await readEnabledOnPlanned(target, migration, states)
          : await readEnabledTriggers(target, tables, states);
      if (found.length > 0) {
        await disableFound(target, migration, found, true, (done) => (progress.objects = done));
      }
      return found;
    },
  );
  if (enabled.length === 0) return;
  log.warn(
    'triggers or rules on the target would fire for replicated rows: they are disabled until the cutover',
    {
      count: enabled.length,
      names: enabled
        .slice(0, SHOWN)
        .map((one) => `${one.kind} ${one.name} of ${one.schema_name}.${one.table_name}`),
    },
  );
}
