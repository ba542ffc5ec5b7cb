/** Errors of databases, for the person at the terminal. */
import { MigrationError } from '../contract/failure.ts';
import { classify } from '../postgres/connection/failure.ts';
import { OperatorError } from './operator-error.ts';

/** @param step what was being done, as the message names it. */
export function explained(error: unknown, step: string): OperatorError {
  if (error instanceof OperatorError) return error;
  const failure = error instanceof MigrationError ? error : classify(error, { step }, 'Internal');
  // A local tool: the server's message helps where the database is, and reaches no log.
  const words = error instanceof Error && error !== failure ? `: ${error.message}` : '';
  return new OperatorError(`${failure.message}${words}`);
}
