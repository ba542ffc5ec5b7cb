/** Errors that say nothing about a change: the whole batch is tried again later, by this attempt or the next one. */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { WrongRowCount } from './replay.ts';

/** The SQLSTATE of a server's answer; undefined for everything else. */
export function sqlstateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

const LOCK_NOT_AVAILABLE = '55P03';
const TOO_MANY_CONNECTIONS = '53300';

/**
 * Whether the error is one of the moment or of the session: serialization failures, deadlocks and locks not had in
 * time, shutdowns and cancels, a lost connection. Everything else is about what was sent, and is looked at change by
 * change.
 */
export function isPassing(error: unknown): boolean {
  if (error instanceof WrongRowCount) return false;
  if (error instanceof MigrationError) return true;
  const state = sqlstateOf(error);
  // No SQLSTATE: the connection is gone, or the fault is our own; neither gets better by sending it in other words.
  if (state === undefined) return true;
  return (
    state === LOCK_NOT_AVAILABLE ||
    state === TOO_MANY_CONNECTIONS ||
    ['40', '57', '08'].includes(state.slice(0, 2))
  );
}
