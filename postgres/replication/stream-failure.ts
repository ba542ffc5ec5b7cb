/** Classifies errors of the source that prevent or end the stream. By SQLSTATE, never by text. */
import { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';
import { classify, sqlstate, SQLSTATE } from '../connection/failure.ts';

/** @param connected whether the session was established: before that, 42501 is about the role, not about the plugin. */
export function startFailure(error: unknown, slot: string, connected: boolean): MigrationError {
  if (error instanceof MigrationError) return error;
  const state = sqlstate(error);
  if (state === SQLSTATE.objectInUse) {
    return new MigrationError('SlotBusy', `slot "${slot}" is in use by another session`, {
      slot,
      sqlstate: state,
    });
  }
  if (connected && state !== undefined) {
    const refusal = decodingFailure(state, { slot });
    if (refusal) return refusal;
  }
  return classify(error, { step: 'start of the stream', side: 'source' }, 'Internal');
}

/** A failure of the running stream. */
export function streamFailure(error: unknown, lsn: Lsn): MigrationError {
  if (error instanceof MigrationError) return error;
  const state = sqlstate(error);
  const refusal = state === undefined ? null : decodingFailure(state, { lsn });
  return refusal ?? classify(error, { step: 'stream', lsn, side: 'source' }, 'Internal');
}

/**
 * Whether the source stopped because it could not print a change: it allocates at most 1 GB for one value or message. The errors
 * (of palloc and of a string buffer) name no table.
 */
export function isUnprintable(error: unknown): boolean {
  const state =
    error instanceof MigrationError && error.code === 'StreamMalformed'
      ? error.details.sqlstate
      : sqlstate(error);
  return UNPRINTABLE.has(state ?? '');
}

const UNPRINTABLE: ReadonlySet<string> = new Set(['54000', 'XX000']);

/** The plugin omitted something, or the server has another reason to warn: nothing after the WARNING is trusted. */
export function warningFailure(code: string | undefined, lsn: Lsn, table?: string): MigrationError {
  const what =
    table === undefined
      ? 'the stream may lack a change'
      : `updates and deletes of table ${table} are no longer sent, because it lost its replica identity`;
  return new MigrationError(
    'StreamWarning',
    `the source sent a WARNING${code === undefined ? '' : ` (SQLSTATE ${code})`} ${table === undefined ? 'after' : 'at'} ${lsn}: ${what}`,
    {
      lsn,
      ...(table === undefined ? {} : { table }),
      ...(code === undefined ? {} : { sqlstate: code }),
    },
  );
}

/** See `isKeyUnread` (warning.ts): the attempt ends, and the next one reads the change again. */
export function keyUnreadFailure(lsn: Lsn): MigrationError {
  return new MigrationError(
    'KeyUnread',
    `the source printed an update after ${lsn} without its key, because ANALYZE, VACUUM or DDL changed a table's catalog entry at that moment; it is read again`,
    { lsn },
  );
}

/** An update or delete, not sent, of a table that the operator accepts without replica identity. */
export function insertOnlyFailure(lsn: Lsn, table: string): MigrationError {
  return new MigrationError(
    'StreamWarning',
    `the transaction at ${lsn} updates or deletes rows of ${table}, which has no replica identity ("ignore": {"missingIdentity"}), so these changes are not sent; give the table one on the source, or prevent such changes, then resume to resync the table`,
    { lsn, table, sqlstate: '01000' },
  );
}

function decodingFailure(
  state: string,
  where: { readonly slot?: string; readonly lsn?: Lsn },
): MigrationError | null {
  const at = where.slot === undefined ? `after ${where.lsn}` : `from slot "${where.slot}"`;
  switch (state) {
    case SQLSTATE.insufficientPrivilege:
      return new MigrationError(
        'PluginRefused',
        `the source refuses to decode with wal2json ${at} (SQLSTATE ${state}): "wal2json" must be in its setting output_plugin_libraries`,
        { ...where, sqlstate: state },
      );
    case SQLSTATE.undefinedObject:
    // `wal_status = lost` and other invalidations.
    case SQLSTATE.notInPrerequisiteState:
    case SQLSTATE.undefinedFile:
      return new MigrationError(
        'SlotMissing',
        `the source cannot decode ${at} (SQLSTATE ${state}): the slot is invalid or the WAL that it needs is gone`,
        { ...where, sqlstate: state },
      );
    default:
      if (!UNPRINTABLE.has(state)) return null;
      return new MigrationError(
        'StreamMalformed',
        `the source cannot decode a change ${at} (SQLSTATE ${state}): most likely a row of a selected table is larger than 1 GB as text (a bytea counts twice); do not write such values while the migration runs, or exclude the table: abort and start again`,
        { ...where, sqlstate: state },
      );
  }
}

/** A change without a begin, or after another transaction's. */
export function outsideTransaction(lsn: Lsn | null): MigrationError {
  return malformed('a change outside its transaction', lsn);
}

/** The stream broke its protocol. */
export function malformed(what: string, lsn: Lsn | null): MigrationError {
  return new MigrationError(
    'StreamMalformed',
    `the stream sent ${what}${lsn === null ? '' : ` at ${lsn}`}`,
    lsn === null ? {} : { lsn },
  );
}
