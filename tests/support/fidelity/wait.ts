/** Waits for a migration to reach a point, and reports why it does not. */
import type { Lab } from '../lab.ts';
import { until } from '../until.ts';

/** Waits until the creation of the slot waits for what the cases left open; fails when nothing makes it wait. */
export async function untilSlotWaits(lab: Lab): Promise<void> {
  await until(
    'slot creation to wait for the transactions that section schema left open',
    async () => {
      const rows = await lab.onSource(/* sql */ `
        select from pg_replication_slots join pg_stat_activity on pid = active_pid
         where database = current_database() and confirmed_flush_lsn is null and wait_event_type = 'Lock'`);
      return rows.length > 0 || (await stopsFor(lab));
    },
    { seconds: 60 },
  );
  await throwIfStopped(lab);
}

/**
 * Waits for the plan of the copy: then the snapshot is taken, and no chunk starts while the lock is held.
 */
export async function untilPlanned(lab: Lab): Promise<void> {
  await until('the plan of the copy', async () => (await stopsFor(lab)) ?? (await planned(lab)), {
    seconds: 120,
  });
  await throwIfStopped(lab);
}

async function planned(lab: Lab): Promise<boolean> {
  return (await lab.onTarget(/* sql */ `select from walferry.chunk limit 1`)).length > 0;
}

/** Waits until everything that is committed on the source now is durably on the target. */
export async function untilApplied(lab: Lab): Promise<void> {
  const [now] = await lab.onSource<{ lsn: string }>(
    // Written with its own commit, so that a commit record follows everything before it.
    /* sql */ `select pg_logical_emit_message(true, 'fidelity', '')::text as lsn`,
  );
  await until(
    'the changes to be applied',
    async () => {
      const stopped = await stopsFor(lab);
      if (stopped !== null) return stopped;
      const rows = await lab.onTarget(
        `select from walferry.migration where confirmed_lsn > '${now?.lsn ?? ''}'`,
      );
      return rows.length > 0;
    },
    { seconds: 90 },
  );
  await throwIfStopped(lab);
}

/** An activity that failed this often in a row will not recover. */
const HOPELESS_ATTEMPTS = 4;

/** Why the migration does not progress; null while it does. */
async function stopsFor(lab: Lab): Promise<string | null> {
  const { state, phase, waiting } = await lab.progress();
  if (state === 'waiting') return waiting?.reason ?? 'it waits for its operator';
  if (phase === 'failed' || phase === 'aborted') return (await lab.ending()).text;
  const { raw } = await lab.handle.describe();
  const stuck = raw.pendingActivities?.find(({ attempt }) => (attempt ?? 0) > HOPELESS_ATTEMPTS);
  if (!stuck) return null;
  return `${stuck.activityType?.name ?? 'an activity'} keeps failing: ${stuck.lastFailure?.message ?? ''}`;
}

async function throwIfStopped(lab: Lab): Promise<void> {
  const stopped = await stopsFor(lab);
  if (stopped !== null) throw new Error(stopped);
}
