/** Locks for DDL while the stream runs: requested with a short timeout and retried, never queued for long. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MigrationError } from '../../contract/failure.ts';
import type { Work } from '../../contract/work.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';

/** A waiting lock request blocks all later ones, including the stream's apply transactions. */
const LOCK_TIMEOUT_MS = 2_000;
const LOCK_TRIES = 30;
const LOCK_PAUSE_MS = 500;
const NOT_ACQUIRED = new Set<string>([SQLSTATE.lockNotAvailable, SQLSTATE.deadlockDetected]);

/** Statement for a session whose others {@link retryLock} retries. */
export const BRIEF_LOCK_TIMEOUT = /* sql */ `set lock_timeout = ${LOCK_TIMEOUT_MS};`;

/** Retries when a lock was not granted within the short timeout: the stream's transactions come and go. */
export async function retryLock<T>(work: Work, run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await run();
    } catch (error) {
      if (!NOT_ACQUIRED.has(stateOf(error) ?? '') || tries >= LOCK_TRIES) throw error;
      await sleep(LOCK_PAUSE_MS, undefined, { signal: work.signal }).catch(() => undefined);
      work.signal.throwIfAborted();
    }
  }
}

/** Also reads the SQLSTATE of an error that was already turned into a MigrationError. */
function stateOf(error: unknown): string | undefined {
  return error instanceof MigrationError ? error.details.sqlstate : sqlstate(error);
}
