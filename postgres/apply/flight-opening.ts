/** The statements before the rows of a flight: the start of a transaction, or a savepoint in the open one. */
import type { Migration } from '../../contract/migration.ts';
import { HOLD_EPOCH_OR_FAIL } from '../store/epoch.ts';
import type { Question } from './folded-flight.ts';

export const BEGIN = 'begin isolation level read committed read write';
export const DEFER = 'set constraints all deferred';
export const SAVEPOINT: Question = { sql: 'savepoint walferry_folded', rows: null };
/** An applied piece is never rolled back alone: without the release each savepoint would nest in all earlier ones. */
export const RELEASE: Question = { sql: 'release savepoint walferry_folded', rows: null };
/** Index of the statement that locks the control row, in a flight that opens a transaction. */
export const HOLD_PLACE = 1;

/** A savepoint in the open transaction. @param saved whether it has the savepoint of an earlier flight. */
export function openingInside(saved: boolean): Question[] {
  return saved ? [RELEASE, SAVEPOINT] : [SAVEPOINT];
}

/** A new transaction, which locks the control row. @param replicaRole whether constraints need not be deferred. */
export function openingOutside(
  migration: Migration,
  epoch: bigint,
  replicaRole: boolean,
): Question[] {
  const hold = { sql: HOLD_EPOCH_OR_FAIL, values: [migration.id, epoch.toString()], rows: 1 };
  const begin = { sql: BEGIN, rows: null };
  return replicaRole ? [begin, hold] : [begin, hold, { sql: DEFER, rows: null }];
}
