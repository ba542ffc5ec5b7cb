/**
 * Messages of wal2json's format-version 2, one per line. Values stay text: no number becomes a JavaScript number (bigint
 * and numeric would lose digits), no json value is printed again, and an absent column stays absent (absent is not null).
 */
import type { Lsn } from '../../contract/lsn.ts';

export interface Cell {
  readonly name: string;
  /** As the source's output function printed it; null for SQL null, and with wal2json 2.5 also for non-finite numbers. */
  readonly value: string | null;
}

export interface Begin {
  readonly action: 'B';
  readonly xid: number;
  /** Start of the commit record; the same in the commit message. */
  readonly lsn: Lsn;
  readonly timestamp: string | null;
}

export interface Commit {
  readonly action: 'C';
  readonly xid: number;
  readonly lsn: Lsn;
  /** End of the commit record: the LSN that is stored and confirmed once the transaction is applied. */
  readonly nextlsn: Lsn;
  /** Commit time as the source printed it, in UTC. */
  readonly timestamp: string | null;
}

export interface RowMessage {
  readonly action: 'I' | 'U' | 'D';
  readonly xid: number;
  readonly lsn: Lsn | null;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly Cell[];
  readonly identity: readonly Cell[];
}

export interface TruncateMessage {
  readonly action: 'T';
  readonly xid: number;
  /** The same for all tables of one TRUNCATE statement. */
  readonly lsn: Lsn | null;
  readonly schema: string;
  readonly table: string;
}

export interface LogicalMessage {
  readonly action: 'M';
  /** Null when the message is not transactional. */
  readonly xid: number | null;
  readonly lsn: Lsn | null;
  readonly transactional: boolean;
  readonly prefix: string;
  readonly content: string;
}

export type WalMessage = Begin | Commit | RowMessage | TruncateMessage | LogicalMessage;
