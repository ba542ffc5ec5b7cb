/** The error of this project, and what it may carry. */
import type { FailureCode } from './failure-catalogue.ts';

export type FailureSide = 'source' | 'target' | 'unknown';

/** Names that locate a failure. Never a row value, never a secret: history and logs have many readers. */
export interface FailureDetails {
  readonly table?: string;
  readonly object?: string;
  readonly lsn?: string;
  readonly sqlstate?: string;
  readonly constraint?: string;
  readonly column?: string;
  readonly slot?: string;
  readonly pids?: readonly number[];
  /** The database that failed, where that decides what follows; `unknown`: it may be either. */
  readonly side?: FailureSide;
  /** How many rows violate a constraint, and the statement that lists them. */
  readonly rows?: string;
  readonly query?: string;
}

/**
 * The one error that postgres/ throws on purpose. The message says what happened and where, and must be fit for
 * Temporal's history: SQLSTATE and object names, no server message text (which contains row values).
 */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
  readonly code: FailureCode;
  readonly details: FailureDetails;

  constructor(code: FailureCode, message: string, details: FailureDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

/** The same error with the side that it came from; a side that is already set stays. */
export function sided(error: MigrationError, side: FailureSide): MigrationError {
  if (error.details.side) return error;
  return new MigrationError(error.code, error.message, { ...error.details, side }, error.cause);
}
