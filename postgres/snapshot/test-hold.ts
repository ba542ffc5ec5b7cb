/**
 * Points where a test pauses the copy or a verification, so that its own steps run exactly there, without sleeping:
 *
 *   before-chunks           between the plan and the first chunk of every run
 *   before-ending-copiers   a plan has read which chunks are unfinished, and has not terminated the sessions that copy them
 *   before-mark             a verification has read a piece, and has not marked it
 *
 * Off unless WALFERRY_HOLDPOINT names one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** Advisory lock of the target database; holding it exclusively pauses the copy. */
export const HOLD_LOCK = '6093412285071743';

const POLL_MS = 20;

/**
 * If WALFERRY_HOLDPOINT names this point, waits until no session holds {@link HOLD_LOCK} exclusively.
 * @param waiting called after every try: sends a heartbeat, so that the wait does not look like a stall; throws to give up.
 */
export async function holdAt(
  point: 'before-chunks' | 'before-ending-copiers' | 'before-mark',
  target: pg.ClientBase,
  waiting: () => void = () => undefined,
): Promise<void> {
  if (process.env['WALFERRY_HOLDPOINT'] !== point) return;
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
