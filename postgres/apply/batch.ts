/**
 * What is applied at once: complete source transactions, collected up to a size or an age, or one part of a huge
 * transaction. A batch that ends at a commit boundary has the LSN to store. A part that does not end its transaction has
 * none, and the target transaction stays open after it.
 */
import type { Lsn } from '../../contract/lsn.ts';
import type { Change, PlannedRelation } from './change.ts';
import type { FoldedTable } from './folded-flight.ts';
import type { Barrier } from '../store/barrier.ts';
import type { LastCommit } from '../store/confirmed-position.ts';

export interface Batch {
  /** Folded changes, applied before {@link changes}: for each table they are the earlier ones. */
  readonly folded: readonly FoldedTable[];
  /** In source order. */
  readonly changes: readonly Change[];
  /** All changes unfolded, for when the folded ones cannot be applied; those of a table in source order. */
  readonly exactly: () => readonly Change[];
  /** Number of source changes in it, folded or not. */
  readonly size: number;
  /** Tables with changes. */
  readonly relations: ReadonlySet<PlannedRelation>;
  /** LSN to store with the commit; null leaves the target transaction open for the next part. */
  readonly end: Lsn | null;
  /** Number of source transactions that end in it and have a change. */
  readonly transactions: number;
  /** Commit time of the latest transaction in it, as the source printed it. */
  readonly committedAt: string | null;
  /** Source transactions (32-bit top-level ids) up to the LSN, also those whose changes are excluded. */
  readonly xids: ReadonlySet<number>;
  /** The last commit before `end`; unset when none has been received since the stream began. */
  readonly commit?: LastCommit | null;
  /** An anchor: with this batch the target has what its snapshot shows, also beyond `end`. Stored with the rows. */
  readonly barrier?: Barrier;
}

export interface BatchLimits {
  readonly changes: number;
  readonly bytes: number;
  /** Milliseconds after the first change. */
  readonly age: number;
  /**
   * Number of tables with changes: one target transaction locks all of them, and many small transactions on different tables
   * could fill the lock table. Unset for no limit.
   */
  readonly tables?: number;
  /** The longest line, in bytes, that may take the fast path; the decoder handles longer ones. */
  readonly messageBytes: number;
  /** For tests: no line takes the fast path. */
  readonly exactly?: boolean;
}
