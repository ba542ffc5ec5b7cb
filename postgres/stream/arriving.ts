/** A source transaction that has begun to arrive, and what of it was gathered in the batch at work. */
import type { Lsn } from '../../contract/lsn.ts';
import type { RowMessage, TruncateMessage } from '../wal2json/message.ts';
import type { TablePath } from './path.ts';

export interface Open {
  /** 32 bits, the top-level transaction. */
  readonly xid: number;
  /** Start of the commit record. */
  readonly lsn: Lsn;
  /** Committed before the position we started at: the target has it. */
  readonly known: boolean;
}

/** What is known of a transaction at its first line. */
export interface Beginning extends Open {
  readonly serial: number;
  /** Whether the copy of a table may hold it. */
  readonly mayBeCopied: boolean;
}

/**
 * There is one for each transaction, and small transactions have two lines: a class, because an object put together from several
 * literals takes six microseconds, more than everything else that is done with the line.
 */
export class Arriving implements Open {
  readonly xid: number;
  readonly lsn: Lsn;
  readonly serial: number;
  readonly known: boolean;
  readonly mayBeCopied: boolean;
  /** Whether no piece of it was sealed yet. */
  first = true;
  /** On the exact way, not decided yet. */
  messages: (RowMessage | TruncateMessage)[] = [];
  bytes = 0;
  /** Its first line of the fast way in this batch, and how many there are. */
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

  /** What was gathered belongs to the batch now. */
  noted(): void {
    this.rows = 0;
    this.bytes = 0;
    this.paths = [];
  }
}
