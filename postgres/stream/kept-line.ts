/** Lines of the fast path that are read a second time: into rows again, or decoded change by change. */
import { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Change } from '../apply/change.ts';
import type { TableRows } from '../apply/table-rows.ts';
import { changesOf } from '../drift/mapped-change.ts';
import type { TableMappings } from '../drift/table-mapping.ts';
import { LineFailure, textOfLine } from '../replication/line.ts';
import type { Line } from '../replication/line-store.ts';
import { decodeMessage } from '../wal2json/decode.ts';
import type { LineKind } from '../wal2json/head.ts';
import type { RowMessage } from '../wal2json/message.ts';
import type { TransactionEnd } from './pending-batch.ts';
import type { ExactReason } from './lease-summary.ts';

/** Decodes the lines, change by change. */
export function decodeLines(
  lines: readonly Line[],
  ends: readonly TransactionEnd[],
  mappings: TableMappings,
  newest: Lsn | null,
): Change[] {
  let from = 0;
  return ends.flatMap(({ xid, lsn, to }) => {
    const messages = lines.slice(from, to).map((line) => rowOf(line));
    from = to;
    const changes = changesOf({ xid, commitLsn: lsn, messages }, mappings, newest);
    if (!Array.isArray(changes)) throw readDifferently();
    return changes;
  });
}

/** Why the rows did not accept the line. */
export function whyNot({ layout, keyMoved }: TableRows, kind: LineKind): ExactReason {
  if (kind === 'insert') return kind;
  if (layout.key.length === 0) return 'table';
  if (kind === 'delete') return kind;
  return keyMoved ? 'key' : 'update';
}

/** Adds the line to the rows. @returns false for a line that must take the exact path. */
export function insertInto(
  rows: TableRows,
  kind: LineKind,
  { bytes, to }: Line,
  body: number,
): boolean {
  switch (kind) {
    case 'insert':
      return rows.insert(bytes, body, to);
    case 'update':
      return rows.update(bytes, body, to);
    case 'delete':
      return rows.delete(bytes, body, to);
    case 'begin':
    case 'commit':
    case 'other':
      return false;
  }
}

function rowOf(line: Line): RowMessage {
  const text = textOfLine(line.own);
  const message = text instanceof LineFailure ? null : decodeMessage(text);
  if (message === null || !('identity' in message)) throw readDifferently();
  return message;
}

/** A line that was accepted the first time is not accepted now. */
export function readDifferently(): MigrationError {
  return new MigrationError(
    'Internal',
    'a line of the stream was parsed differently the second time',
  );
}
