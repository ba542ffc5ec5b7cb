/** Locks of DDL beside the stream: asked for briefly and again, never queued for. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Work } from '../../contract/work.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';

/** A lock that is waited for blocks everybody behind it, the stream's apply transactions among them. */
const LOCK_TIMEOUT_MS = 2_000;
const LOCK_TRIES = 30;
const LOCK_PAUSE_MS = 500;
const NOT_HAD = new Set<string>([SQLSTATE.lockNotAvailable, SQLSTATE.deadlockDetected]);

/** For a session whose statements {@link retryLock} tries again. */
export async function setBriefLockTimeout(client: pg.ClientBase): Promise<void> {
  await client.query(/* sql */ `set lock_timeout = ${LOCK_TIMEOUT_MS}`);
}

/** Tries again when a lock was not had in its short time: the stream's transactions come and go. */
export async function retryLock<T>(work: Work, run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await run();
    } catch (error) {
      if (!NOT_HAD.has(stateOf(error) ?? '') || tries >= LOCK_TRIES) throw error;
      await sleep(LOCK_PAUSE_MS, undefined, { signal: work.signal }).catch(() => undefined);
      work.signal.throwIfAborted();
    }
  }
}

/** Also of an error that has been named after its object already. */
function stateOf(error: unknown): string | undefined {
  return error instanceof MigrationError ? error.details.sqlstate : sqlstate(error);
}
