/** A source transaction that has begun to arrive, and which part of it is in the current batch. */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { RowMessage, TruncateMessage } from '../wal2json/message.ts';
import type { GatheringParts } from './gathering-parts.ts';
import type { TablePath } from './table-path.ts';

export interface Open {
  /** 32-bit id of the top-level transaction. */
  readonly xid: number;
  /** Start of the commit record. */
  readonly lsn: Lsn;
  /** The target has it, because it committed before the stream's start, or it is not its turn: see `AnchorFilter`. */
  readonly known: boolean;
}

/** What the first line of a transaction shows. */
export interface Beginning extends Open {
  readonly serial: number;
  /** Whether the copy of a table may include it. */
  readonly mayBeCopied: boolean;
}

/**
 * A class, because an object that is spread from several literals takes six microseconds. There is one for each transaction, and
 * for a small transaction of two lines that is more than all other work.
 */
export class ArrivingTransaction implements Open {
  readonly xid: number;
  readonly lsn: Lsn;
  readonly serial: number;
  readonly known: boolean;
  readonly mayBeCopied: boolean;
  /** Whether no part of it has been sealed yet. */
  first = true;
  /** Messages on the exact path that are not decided yet. */
  messages: (RowMessage | TruncateMessage)[] = [];
  bytes = 0;
  /** Index of its first fast-path row in this batch; `rows` counts them. */
  from: number;
  rows = 0;
  /** Tables that have rows of it in this batch. */
  paths: TablePath[] = [];

  constructor({ xid, lsn, serial, known, mayBeCopied }: Beginning, from: number) {
    this.xid = xid;
    this.lsn = lsn;
    this.serial = serial;
    this.known = known;
    this.mayBeCopied = mayBeCopied;
    this.from = from;
  }

  /** The collected changes belong to the batch now. */
  noted(): void {
    this.rows = 0;
    this.bytes = 0;
    this.paths = [];
  }
}

/** A transaction begins. @param from number of lines collected so far. */
export function arrive(
  xid: number,
  lsn: Lsn,
  serial: number,
  { start, newest, filter }: Pick<GatheringParts, 'start' | 'newest' | 'filter'>,
  from: number,
): ArrivingTransaction {
  const known = compareLsn(lsn, start) < 0 || filter?.leavesOut(xid, lsn) === true;
  const mayBeCopied = newest !== null && compareLsn(lsn, newest) < 0;
  return new ArrivingTransaction({ xid, lsn, serial, known, mayBeCopied }, from);
}
