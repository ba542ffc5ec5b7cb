/** The changes collected for the next batch: of complete transactions only, except for rows and lines. */
import type { Lsn } from '../../contract/lsn.ts';
import type { Change, PlannedRelation } from '../apply/change.ts';
import type { FoldedTable } from '../apply/folded-flight.ts';
import type { Batch } from '../apply/batch.ts';
import type { Line } from '../replication/line-store.ts';
import type { Commit } from '../wal2json/message.ts';
import type { ArrivingTransaction } from './arriving-transaction.ts';
import type { TablePath } from './table-path.ts';

/** Fast-path lines before `to` belong to this transaction or an earlier one. */
export interface TransactionEnd {
  readonly xid: number;
  readonly lsn: Lsn;
  readonly to: number;
}

export class PendingBatch {
  /** Lines on the fast path. */
  readonly lines: Line[];
  /** Where the lines of each transaction end. */
  readonly ends: TransactionEnd[] = [];
  /** Tables with rows. */
  readonly used: TablePath[] = [];
  readonly changes: Change[] = [];
  readonly relations = new Set<PlannedRelation>();
  readonly xids = new Set<number>();
  size = 0;
  bytes = 0;
  transactions = 0;
  firstAt: number | null = null;
  committedAt: string | null = null;

  /** @param lines collected lines of an open transaction. */
  constructor(lines: Line[] = []) {
    this.lines = lines;
  }

  /** Adds the changes of the open transaction to the batch. */
  add(open: ArrivingTransaction, changes: readonly Change[]): void {
    for (const change of changes) {
      this.changes.push(change);
      if (change.kind !== 'truncate') this.relations.add(change.relation);
      else for (const relation of change.relations) this.relations.add(relation);
    }
    for (const { mapping } of open.paths) if (mapping) this.relations.add(mapping.relation);
    if (open.rows > 0) this.ends.push({ xid: open.xid, lsn: open.lsn, to: this.lines.length });
    this.size += open.rows + changes.length;
    this.bytes += open.bytes;
    open.noted();
  }

  /** Whether nothing must happen before a position is stored, not even a visibility check of a transaction. */
  get untouched(): boolean {
    return this.size === 0 && this.xids.size === 0;
  }

  /** Adds a complete transaction, or the last part of a huge one. */
  end(
    open: ArrivingTransaction,
    changes: readonly Change[],
    { xid, timestamp }: Commit,
    now: number,
  ): void {
    // Also without a change: the source may have omitted its changes.
    this.xids.add(xid);
    if (open.first && open.rows + changes.length === 0) return;
    this.add(open, changes);
    this.transactions += 1;
    this.committedAt = timestamp ?? this.committedAt;
    this.firstAt ??= now;
  }

  /** Milliseconds until a complete transaction has waited this long; 0 when it has, null while there is no change. */
  dueIn(now: number, age: number): number | null {
    return this.firstAt === null ? null : Math.max(0, this.firstAt + age - now);
  }

  /**
   * Moves the rows from the tables' paths to the batch.
   * @param refused called for a table whose rows the target refuses, and whether it always will.
   */
  fold(refused: (path: TablePath, forGood: boolean) => void): FoldedTable[] {
    return this.used.flatMap((path) => {
      const { rows, mapping } = path;
      path.rows = null;
      if (rows === null || mapping === null) return [];
      const refuse = (forGood: boolean): void => refused(path, forGood);
      return { relation: mapping.relation, rows, refuse, release: () => path.release(rows) };
    });
  }

  /** @param refused whether the rows must not be used: everything is applied change by change. */
  sealed(
    folded: readonly FoldedTable[],
    exactly: () => readonly Change[],
    refused: boolean,
  ): Omit<Batch, 'end' | 'commit'> {
    if (refused) for (const { release } of folded) release();
    const { changes, size, relations, transactions, committedAt, xids } = this;
    return {
      folded: refused ? [] : folded,
      changes: refused ? exactly() : changes,
      ...{ exactly, size, relations, transactions, committedAt, xids },
    };
  }
}
