/**
 * What is applied at once: whole source transactions gathered up to a size or an age, or one piece of a huge transaction.
 * A batch that ends at a commit boundary carries the position to store; a piece that does not end its transaction carries
 * none, and the target transaction stays open behind it.
 */
import type { Lsn } from '../../contract/lsn.ts';
import type { Change, PlannedRelation } from '../apply/change.ts';
import type { FoldedTable } from '../apply/folded.ts';
import type { LastCommit } from '../control/epoch.ts';

export interface Batch {
  /** Folded changes, which come before {@link changes}: no table's later change is among them. */
  readonly folded: readonly FoldedTable[];
  /** In source order. */
  readonly changes: readonly Change[];
  /** All changes one by one, for when the folded ones cannot be applied; those of a table in source order. */
  readonly exactly: () => readonly Change[];
  /** Changes of the source in it, folded or not. */
  readonly size: number;
  /** Tables with changes. */
  readonly relations: ReadonlySet<PlannedRelation>;
  /** To store with the commit; null leaves the target transaction open for the next piece. */
  readonly end: Lsn | null;
  /** Source transactions that end in it and brought a change. */
  readonly transactions: number;
  /** Commit time of the newest transaction in it, as the source printed it. */
  readonly committedAt: string | null;
  /** Source transactions (32-bit top-level ids) that the position passes with a change, also with one that is left out here. */
  readonly xids: ReadonlySet<number>;
  /** The last commit before `end`; unset when none was received since the stream began. */
  readonly commit?: LastCommit | null;
}

export interface BatchLimits {
  readonly changes: number;
  readonly bytes: number;
  /** Milliseconds after the first change. */
  readonly age: number;
  /**
   * Tables with changes: one transaction of the target locks all of them, and small transactions on many tables would together
   * fill its lock table. Unset for no limit.
   */
  readonly tables?: number;
  /** The longest line, in bytes, that is looked at as bytes; a longer one is judged by the decoder. */
  readonly messageBytes: number;
  /** For tests: no line takes the fast way. */
  readonly exactly?: boolean;
}
