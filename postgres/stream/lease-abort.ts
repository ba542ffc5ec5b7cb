/**
 * What ends a lease early: the signal is aborted by a pause, a cutover or an abort. The caller gets the target's checkpoint within
 * seconds, whatever the two servers do.
 */
import type { Migration } from '../../contract/migration.ts';
import type { StreamReport, Work } from '../../contract/work.ts';
import { within } from '../replication/deadline.ts';
import { fence, type Stopped } from './fence.ts';
import type { StreamLoop } from './loop.ts';
import type { TargetWriter } from './target-writer.ts';

/** After an abort, how long to wait for a lease that may hang in its start or while it releases the slot. */
const ABORT_LEASE_MS = 8_000;

/**
 * After an abort, the current batch may take this long to finish; then the session is cut and the target's checkpoint is read.
 */
const ABORT_MS = 3_000;

/** After an abort: lets the current batch finish and rolls back an incomplete transaction. Null when that was enough. */
export async function stopWriting(
  { migration, work }: { readonly migration: Migration; readonly work: Work },
  loop: StreamLoop,
  writer: TargetWriter,
): Promise<Stopped | null> {
  try {
    await within(ABORT_MS, loop.settled());
    if (!loop.failed) {
      await within(ABORT_MS, writer.rollback());
      return null;
    }
  } catch {
    work.log.warn('the target did not finish its batch in time: its session is closed');
  }
  // Also after a failure: the answer to a COMMIT may have been lost.
  return fence(migration, work.scheduledAt ?? null);
}

/** Resolves to false when the lease has ended, to true when it takes too long after an abort. */
export async function outlasted(lease: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  const ended = lease.then(
    () => false,
    () => false,
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    const wait = (): void => {
      timer = setTimeout(() => resolve(true), ABORT_LEASE_MS);
    };
    if (signal.aborted) wait();
    else signal.addEventListener('abort', wait, { once: true });
    void ended.then(() => signal.removeEventListener('abort', wait));
  });
  return Promise.race([ended, late]).finally(() => clearTimeout(timer));
}

/** Fences off the running attempt, and reports what the target alone shows. */
export async function fenced(migration: Migration, work: Work): Promise<StreamReport> {
  const stopped = await fence(migration, work.scheduledAt ?? null);
  return {
    ...stopped,
    receivedLsn: stopped.confirmedLsn,
    lagBytes: 0,
    lagSeconds: 0,
    rate: 0,
    reached: false,
  };
}
