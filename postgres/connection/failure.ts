/**
 * Converts a driver's error to walferry's. Errors are classified by SQLSTATE, never by the server's text: that text contains row
 * values (DETAIL of 23505, the message of 22P02) and is not passed on.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { FailureDetails } from '../../contract/failure.ts';
import type { FailureCode } from '../../contract/failure-catalogue.ts';

/** SQLSTATEs that the code distinguishes, by name. Source: PostgreSQL, appendix A. */
export const SQLSTATE = {
  insufficientPrivilege: '42501',
  undefinedDatabase: '3D000',
  undefinedFile: '58P01',
  configurationLimitExceeded: '53400',
  undefinedObject: '42704',
  duplicateObject: '42710',
  undefinedTable: '42P01',
  undefinedColumn: '42703',
  undefinedFunction: '42883',
  invalidSchemaName: '3F000',
  objectInUse: '55006',
  notInPrerequisiteState: '55000',
  lockNotAvailable: '55P03',
  serializationFailure: '40001',
  deadlockDetected: '40P01',
  tooManyConnections: '53300',
  invalidParameterValue: '22023',
  uniqueViolation: '23505',
  checkViolation: '23514',
  cardinalityViolation: '21000',
  queryCanceled: '57014',
  featureNotSupported: '0A000',
} as const;

/** Where an error happened, in names that are safe to store in a workflow history. */
export interface FailureContext {
  /** What was being done, as a phrase: `copying a chunk`. */
  readonly step?: string;
  readonly table?: string;
  readonly lsn?: string;
  readonly side?: 'source' | 'target';
}

const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTDOWN',
  'ENETDOWN',
  'ECONNABORTED',
  'EADDRNOTAVAIL',
  'ERR_STREAM_DESTROYED',
  // A missing Unix socket; other missing files are opened and reported in connection/.
  'ENOENT',
]);

/** Codes of Node and OpenSSL for a failed handshake: someone must fix a certificate or a setting. */
const TLS_CODE =
  /^(ERR_(SSL|TLS|OSSL)_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_|HOSTNAME_|EPROTO$)/;

/** Messages of `pg` for a server without TLS, or for something other than PostgreSQL on the port. */
const DRIVER_TLS = /^(the server does not support SSL|there was an error establishing an SSL)/i;

/** Messages of `pg` when the server requests a password and there is none, or uses a method that `pg` does not support. */
const DRIVER_LOGIN = /^(SASL|unknown authenticationOk|password must be)/i;

/**
 * Messages of `pg` (8.x), which has no codes for these: "Connection terminated", "Connection terminated unexpectedly",
 * "Connection terminated due to connection timeout", "Client has encountered a connection error and is not queryable", "Client
 * was closed and is not queryable", "timeout expired".
 */
const DRIVER_CONNECTION =
  /^(connection terminated|client (was closed|has encountered)|timeout expired)/i;

/** The SQLSTATE of a server error; undefined for anything else. */
export function sqlstate(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/**
 * Converts an error to a MigrationError; MigrationErrors pass through unchanged. The cause is kept for debugging, and is never
 * printed or sent.
 * @param fallback code for a server error without a specific code here.
 */
export function classify(
  error: unknown,
  context: FailureContext,
  fallback: FailureCode,
): MigrationError {
  if (error instanceof MigrationError) return error;
  const state = sqlstate(error);
  const code = state === undefined ? driverCode(error, fallback) : (stateCode(state) ?? fallback);
  return new MigrationError(
    code,
    messageOf(error, state, code, context),
    details(error, state, context),
    error,
  );
}

function stateCode(state: string): FailureCode | undefined {
  // 57P01 to 57P05: shutdown, crash, starting up, database dropped, idle session timeout.
  if (state.startsWith('08') || state.startsWith('57P')) return 'Unreachable';
  // Class 28: no such role, wrong password, not allowed by pg_hba.conf.
  if (state.startsWith('28')) return 'Denied';
  switch (state) {
    case SQLSTATE.serializationFailure:
    case SQLSTATE.deadlockDetected:
    case SQLSTATE.lockNotAvailable:
    case SQLSTATE.tooManyConnections:
      return 'Contention';
    case SQLSTATE.objectInUse:
      return 'SlotBusy';
    case SQLSTATE.insufficientPrivilege:
      return 'Denied';
    case SQLSTATE.undefinedDatabase:
      return 'InvalidService';
    default:
      return undefined;
  }
}

function driverCode(error: unknown, fallback: FailureCode): FailureCode {
  if (!(error instanceof Error)) return fallback;
  if ('code' in error && typeof error.code === 'string') {
    if (SOCKET_CODES.has(error.code)) return 'Unreachable';
    if (TLS_CODE.test(error.code)) return 'InvalidService';
  }
  if (DRIVER_TLS.test(error.message)) return 'InvalidService';
  if (DRIVER_LOGIN.test(error.message)) return 'Denied';
  return DRIVER_CONNECTION.test(error.message) ? 'Unreachable' : fallback;
}

function messageOf(
  error: unknown,
  state: string | undefined,
  code: FailureCode,
  { step, table, lsn, side }: FailureContext,
): string {
  const constraint = error instanceof pg.DatabaseError ? error.constraint : undefined;
  const where = [
    table && `table ${table}`,
    constraint && `constraint ${constraint}`,
    lsn && `LSN ${lsn}`,
    side && `on the ${side}`,
  ]
    .filter(Boolean)
    .join(', ');
  const what =
    code === 'Unreachable'
      ? 'the database did not answer or closed the connection'
      : describe(state, error);
  const reason = state === undefined ? nameOf(error) : `SQLSTATE ${state}`;
  // "(Error)" after a complete sentence would look like a code to search for.
  const suffix = what !== undefined && reason === 'Error' ? '' : ` (${reason})`;
  return `${step ?? 'a database step'}${where ? ` (${where})` : ''}: ${what ?? 'failed'}${suffix}`;
}

/** Usually one transaction, or all sessions together, hold more locks than the server's settings allow. */
const OUT_OF_MEMORY = '53200';

/** The error in words: an operator who sees only a code looks in the wrong place. */
function describe(state: string | undefined, error: unknown): string | undefined {
  if (state === SQLSTATE.checkViolation && error instanceof pg.DatabaseError && error.constraint) {
    return 'rows that are valid on the source violate this check, typically because it depends on more than its row; drop it on the target, resume, and add it NOT VALID after the cutover';
  }
  if (state === SQLSTATE.undefinedDatabase) return 'the server has no such database';
  if (state === OUT_OF_MEMORY) {
    return "the server's lock table or memory is full: raise max_locks_per_transaction there and restart it";
  }
  if (state === '28P01') return 'the server refused the password (PGPASSFILE on the worker)';
  if (state?.startsWith('28')) return 'the server refused the login (role, pg_hba.conf)';
  if (state !== undefined || !(error instanceof Error)) return undefined;
  if (DRIVER_TLS.test(error.message)) return 'the server does not offer TLS';
  if (DRIVER_LOGIN.test(error.message)) {
    return 'the server asks for a password, and the worker has none for it (PGPASSFILE)';
  }
  return TLS_CODE.test(nameOf(error)) ? 'TLS failed (certificates, host name)' : undefined;
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  // The driver's messages contain no server text, but they are not stable enough to pass on.
  if (/^timeout expired/i.test(error.message)) return 'no answer in time';
  if (DRIVER_CONNECTION.test(error.message)) return 'connection closed';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

function details(
  error: unknown,
  state: string | undefined,
  context: FailureContext,
): FailureDetails {
  const server = error instanceof pg.DatabaseError ? error : undefined;
  return {
    ...(context.table === undefined ? {} : { table: context.table }),
    ...(context.lsn === undefined ? {} : { lsn: context.lsn }),
    ...(state === undefined ? {} : { sqlstate: state }),
    ...(server?.constraint === undefined ? {} : { constraint: server.constraint }),
    ...(server?.column === undefined ? {} : { column: server.column }),
  };
}
