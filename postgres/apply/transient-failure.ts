/** Transient errors, which say nothing about a change: the whole batch is retried, by this attempt or the next one. */
import { MigrationError } from '../../contract/failure.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { KeyMissing, WrongRowCount } from './replay.ts';

/**
 * Whether the error is transient: serialization failures, deadlocks and lock timeouts, shutdowns and cancels, a lost connection.
 * Any other error is caused by what was sent, and the batch is applied change by change.
 */
export function isTransient(error: unknown): boolean {
  // A change that does not identify its row will not do so on a retry.
  if (error instanceof WrongRowCount || error instanceof KeyMissing) return false;
  if (error instanceof MigrationError) return true;
  const state = sqlstate(error);
  // No SQLSTATE: a lost connection or an internal error. Sending the changes differently helps neither.
  if (state === undefined) return true;
  return (
    state === SQLSTATE.lockNotAvailable ||
    state === SQLSTATE.tooManyConnections ||
    ['40', '57', '08'].includes(state.slice(0, 2))
  );
}
