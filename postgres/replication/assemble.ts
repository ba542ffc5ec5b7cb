/**
 * Puts the messages of the stream together into source transactions. wal2json sends a transaction when it is committed,
 * whole and without others between, in commit order. A transaction within the limits comes out as one piece; a huge one
 * comes out in several, so that memory stays flat, and only the last piece carries the commit.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type {
  Begin,
  Commit,
  RowMessage,
  TruncateMessage,
  WalMessage,
} from '../wal2json/message.ts';

export interface Piece {
  /** 32 bits, the top-level transaction. */
  readonly xid: number;
  /** Start of the commit record. */
  readonly commitLsn: Lsn;
  readonly messages: readonly (RowMessage | TruncateMessage)[];
  /** Size of the messages as text. */
  readonly bytes: number;
  readonly first: boolean;
  /** Set on the last piece: the transaction is whole. */
  readonly end: { readonly nextLsn: Lsn; readonly committedAt: string | null } | null;
}

export interface PieceLimits {
  readonly changes: number;
  readonly bytes: number;
}

interface Open {
  readonly xid: number;
  readonly lsn: Lsn;
  /** Committed before the position we started at: the target has it. */
  readonly known: boolean;
  first: boolean;
  messages: (RowMessage | TruncateMessage)[];
  bytes: number;
}

export class Assembler {
  readonly #start: Lsn;
  readonly #limits: PieceLimits;
  #open: Open | null = null;

  /** @param start the position the stream was started at; what the source delivers from before it is dropped. */
  constructor(start: Lsn, limits: PieceLimits) {
    this.#start = start;
    this.#limits = limits;
  }

  /** The transaction that has begun and whose commit has not arrived; null between two. */
  get open(): Readonly<Pick<Open, 'xid' | 'lsn' | 'known'>> | null {
    return this.#open;
  }

  /** Whether a transaction has begun and its commit has not arrived. */
  get inside(): boolean {
    return this.#open !== null;
  }

  /**
   * Takes the next message; returns a piece when one is complete.
   * @param bytes size of the message as text.
   * @throws MigrationError `StreamMalformed` when the messages do not form transactions.
   */
  push(message: WalMessage, bytes: number): Piece | null {
    switch (message.action) {
      case 'B':
        this.#begin(message);
        return null;
      case 'C':
        return this.#commit(message);
      case 'M':
        // Ours, and only their place in the stream matters: their transaction's commit moves the position.
        return null;
      case 'I':
      case 'U':
      case 'D':
      case 'T':
        return this.#change(message, bytes);
    }
  }

  #begin(message: Begin): void {
    if (this.#open) throw malformed('a transaction begins inside another', message.lsn);
    this.#open = {
      xid: message.xid,
      lsn: message.lsn,
      known: compareLsn(message.lsn, this.#start) < 0,
      first: true,
      messages: [],
      bytes: 0,
    };
  }

  #change(message: RowMessage | TruncateMessage, bytes: number): Piece | null {
    const open = this.#open;
    if (open?.xid !== message.xid) {
      throw malformed('a change outside its transaction', message.lsn);
    }
    if (open.known) return null;
    const full =
      open.messages.length >= this.#limits.changes || open.bytes + bytes > this.#limits.bytes;
    const piece =
      full && open.messages.length > 0 && !continuesTruncate(open, message)
        ? this.#cut(open, null)
        : null;
    open.messages.push(message);
    open.bytes += bytes;
    return piece;
  }

  #commit(message: Commit): Piece | null {
    const open = this.#open;
    if (open?.xid !== message.xid || open.lsn !== message.lsn) {
      throw malformed('a commit without its transaction', message.lsn);
    }
    this.#open = null;
    if (open.known) return null;
    return this.#cut(open, { nextLsn: message.nextlsn, committedAt: message.timestamp });
  }

  #cut(open: Open, end: Piece['end']): Piece {
    const piece = {
      xid: open.xid,
      commitLsn: open.lsn,
      messages: open.messages,
      bytes: open.bytes,
      first: open.first,
      end,
    };
    open.first = false;
    open.messages = [];
    open.bytes = 0;
    return piece;
  }
}

/** The tables of one TRUNCATE must stay together: with foreign keys between them no other way is allowed. */
function continuesTruncate(open: Open, message: RowMessage | TruncateMessage): boolean {
  const last = open.messages.at(-1);
  return message.action === 'T' && last?.action === 'T' && last.lsn === message.lsn;
}

function malformed(what: string, lsn: Lsn | null): MigrationError {
  return new MigrationError(
    'StreamMalformed',
    `the stream brought ${what}${lsn === null ? '' : ` at ${lsn}`}`,
    lsn === null ? {} : { lsn },
  );
}
