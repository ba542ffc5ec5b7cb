/**
 * Reports a change that cannot be applied: names and codes in the message, the row's key only in the control schema on the
 * target, because messages end up in histories and logs with many readers.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { FailureDetails } from '../../contract/failure.ts';
import { BEYOND_BOUNDS, isBeyondBounds } from '../connection/partition-bound-violation.ts';
import { sqlstate } from '../connection/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Cell, Change, PlannedRelation } from './change.ts';
import { KeyMissing, WrongRowCount } from './replay.ts';
import { nameOf } from '../catalog/table-name.ts';
import { SHOW_STOPPED_CHANGE, storeStoppedChange } from '../store/stopped-change.ts';

/** Without a key the row's columns are recorded instead; long values are cut, they only serve to recognise the row. */
const RECOGNISABLE_CHARACTERS = 200;

/** The error for a change, from the server's error or the row count. */
export function changeFailure(change: Change, cause: unknown, target: string): MigrationError {
  const relation = relationOf(change);
  const table = relation ? nameOf(relation) : 'no table';
  const through = relation?.destination;
  const what = `${change.kind} of ${table}${through ? ` (through ${nameOf(through)})` : ''} at ${change.lsn}`;
  const where = `see its key on "${target}": ${SHOW_STOPPED_CHANGE}`;
  const details: FailureDetails = { table, lsn: change.lsn };
  if (cause instanceof WrongRowCount) {
    const rows = cause.rows === 0 ? 'no row' : `${cause.rows} rows`;
    return new MigrationError(
      'RowMissing',
      `${what} hit ${rows} on the target instead of one; ${where}`,
      details,
    );
  }
  if (cause instanceof KeyMissing) {
    return new MigrationError(
      'ChangeFailed',
      `${what} does not contain the row's key (missing, or a NaN that wal2json before 2.6 sends as null); ${where}`,
      details,
    );
  }
  const state = sqlstate(cause) ?? 'unknown';
  const names = namesOf(cause);
  const named = names.constraint ?? names.column;
  const object =
    named === undefined
      ? isBeyondBounds(cause)
        ? ` (${BEYOND_BOUNDS})`
        : ''
      : ` (${names.constraint === undefined ? 'column' : 'constraint'} ${named})`;
  return new MigrationError(
    'ChangeFailed',
    `${what} failed on the target with SQLSTATE ${state}${object}; ${where}`,
    { ...details, ...names, sqlstate: state },
  );
}

/** Object names in a server error. Its message, detail and context contain row values and are never used. */
function namesOf(cause: unknown): Pick<FailureDetails, 'constraint' | 'column'> {
  if (!(cause instanceof pg.DatabaseError)) return {};
  return {
    ...(cause.constraint === undefined ? {} : { constraint: cause.constraint }),
    ...(cause.column === undefined ? {} : { column: cause.column }),
  };
}

/**
 * Records the change's key on the target, in a separate transaction (the failed one is rolled back). Fenced: an attempt that was
 * replaced writes nothing.
 */
export async function recordStopped(
  client: pg.Client,
  migration: Migration,
  epoch: bigint,
  change: Change,
  failure: MigrationError,
): Promise<void> {
  const relation = relationOf(change);
  await storeStoppedChange(client, migration, epoch, {
    lsn: change.lsn,
    table: relation,
    action: change.kind,
    key: keyColumns(change),
    failure,
  });
}

function relationOf(change: Change): PlannedRelation | undefined {
  return change.kind === 'truncate' ? change.relations[0] : change.relation;
}

function keyColumns(change: Change): Record<string, string | null> | null {
  if (change.kind === 'truncate') return null;
  const cells = change.kind === 'insert' ? change.columns : change.identity;
  const { key } = change.relation;
  const chosen = key ? cells.filter(({ name }) => key.includes(name)) : cells.map(shortened);
  return Object.fromEntries(chosen.map(({ name, value }) => [name, value]));
}

function shortened({ name, value }: Cell): Cell {
  if (value === null || value.length <= RECOGNISABLE_CHARACTERS) return { name, value };
  return { name, value: `${value.slice(0, RECOGNISABLE_CHARACTERS)}…` };
}
