/** Errors that say nothing about a change: the whole batch is tried again later, by this attempt or the next one. */
import { MigrationError } from '../../contract/failure.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { KeyMissing, WrongRowCount } from './replay.ts';

/**
 * Whether the error is one of the moment or of the session: serialization failures, deadlocks and locks not had in
 * time, shutdowns and cancels, a lost connection. Everything else is about what was sent, and is looked at change by
 * change.
 */
export function isPassing(error: unknown): boolean {
  // A change that does not name its row will not name it the next time either.
  if (error instanceof WrongRowCount || error instanceof KeyMissing) return false;
  if (error instanceof MigrationError) return true;
  const state = sqlstate(error);
  // No SQLSTATE: the connection is gone, or the fault is our own; neither gets better by sending it in other words.
  if (state === undefined) return true;
  return (
    state === SQLSTATE.lockNotAvailable ||
    state === SQLSTATE.tooManyConnections ||
    ['40', '57', '08'].includes(state.slice(0, 2))
  );
}
