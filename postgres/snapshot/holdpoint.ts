/**
 * A place where a test holds the copy: between the plan and the first chunk of every run. What the test writes to the source
 * there comes certainly after the snapshot and before the rows are read, without sleeping. Off unless WALFERRY_HOLDPOINT names it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** Advisory lock of the target database; who holds it exclusively holds the copy. */
export const HOLD_LOCK = '6093412285071743';

const POLL_MS = 20;

/**
 * Waits here, when the environment says so, until nobody holds {@link HOLD_LOCK}.
 * @param waiting called after every look: beats, so that the wait does not look like a stall; throws to give up.
 */
export async function holdBeforeChunks(target: pg.ClientBase, waiting: () => void): Promise<void> {
  if (process.env['WALFERRY_HOLDPOINT'] !== 'before-chunks') return;
  for (;;) {
    const { rows } = await target.query<{ free: boolean }>(
      /* sql */ `select pg_try_advisory_lock_shared(${HOLD_LOCK}) as free`,
    );
    if (rows[0]?.free === true) break;
    waiting();
    await sleep(POLL_MS);
  }
  await target.query(/* sql */ `select pg_advisory_unlock_shared(${HOLD_LOCK})`);
}
