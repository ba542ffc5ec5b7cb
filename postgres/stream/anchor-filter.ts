/**
 * Which transactions of the stream an anchor leaves out. The snapshot of an anchor is not a prefix of the commit order: a commit
 * that waits for its flush or its standby is not in it while later ones are. So the target first gets what the snapshot shows, and
 * then, from the same confirmed LSN, the rest: the filter of the copy, for all tables at once.
 */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Barrier } from '../store/barrier.ts';
import { copiedBy } from './already-copied.ts';

export class AnchorFilter {
  /** The target has what it shows. */
  #barrier: Barrier | null;
  /** Set while an anchor is applied: only what this one shows. */
  #only: Barrier | null = null;
  #leaves = false;

  /** @param barrier in force at the start of the attempt. */
  constructor(barrier: Barrier | null) {
    this.#barrier = barrier;
  }

  /** From now on leaves out everything that the anchor's snapshot does not show. */
  only(anchor: Barrier): void {
    this.#only = anchor;
  }

  /** Whether the anchor has left out a transaction before its position: from then on only its barrier may be committed. */
  get leaves(): boolean {
    return this.#leaves;
  }

  /** @param xid 32 bits, the top-level transaction. @param commitLsn start of its commit record; these arrive in order. */
  leavesOut(xid: number, commitLsn: Lsn): boolean {
    if (this.#barrier !== null) {
      if (copiedBy(this.#barrier)(xid, commitLsn)) return true;
      if (compareLsn(commitLsn, this.#barrier.lsn) >= 0) this.#barrier = null;
    }
    if (this.#only === null || copiedBy(this.#only)(xid, commitLsn)) return false;
    this.#leaves ||= compareLsn(commitLsn, this.#only.lsn) < 0;
    return true;
  }
}
