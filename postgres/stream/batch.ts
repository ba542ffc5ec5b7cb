/**
 * What is applied at once: whole source transactions gathered up to a size or an age, or one piece of a huge transaction.
 * A batch that ends at a commit boundary carries the position to store; a piece that does not end its transaction carries
 * none, and the target transaction stays open behind it.
 */
import type { Lsn } from '../../contract/lsn.ts';
import type { Change, PlannedRelation } from '../apply/change.ts';
import type { LastCommit } from '../control/epoch.ts';

export interface Batch {
  readonly changes: readonly Change[];
  /** To store with the commit; null leaves the target transaction open for the next piece. */
  readonly end: Lsn | null;
  /** Source transactions that end in it and brought a change. */
  readonly transactions: number;
  /** Commit time of the newest transaction in it, as the source printed it. */
  readonly committedAt: string | null;
  /** Source transactions (32-bit top-level ids) that the position passes, also those whose changes are left out. */
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
}

/** Gathers whole transactions. */
export class Gathering {
  readonly #limits: BatchLimits;
  #changes: Change[] = [];
  #xids = new Set<number>();
  #tables = new Set<PlannedRelation>();
  #bytes = 0;
  #transactions = 0;
  #firstAt: number | null = null;
  #committedAt: string | null = null;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  get empty(): boolean {
    return this.#changes.length === 0;
  }

  /** Whether there is nothing to do before a position is stored, not even a transaction to look for. */
  get untouched(): boolean {
    return this.empty && this.#xids.size === 0;
  }

  get full(): boolean {
    const { changes, bytes, tables = Infinity } = this.#limits;
    if (this.#tables.size >= tables) return true;
    // Transactions that are left out count, too: under nothing but them no position would be stored and their ids would pile up.
    return this.#changes.length >= changes || this.#xids.size >= changes || this.#bytes >= bytes;
  }

  /** Commit time of the newest transaction gathered. */
  get committedAt(): string | null {
    return this.#committedAt;
  }

  /** Also for a transaction without changes: those that it had may have been left out at the source. */
  add(
    changes: readonly Change[],
    { xid, bytes, committedAt }: { xid: number; bytes: number; committedAt: string | null },
    now: number,
  ): void {
    this.#xids.add(xid);
    if (changes.length === 0) return;
    for (const change of changes) {
      this.#changes.push(change);
      if (change.kind !== 'truncate') this.#tables.add(change.relation);
      else for (const relation of change.relations) this.#tables.add(relation);
    }
    this.#bytes += bytes;
    this.#transactions += 1;
    this.#committedAt = committedAt ?? this.#committedAt;
    this.#firstAt ??= now;
  }

  /** Milliseconds until the age limit; 0 when it is reached, null while there is no change. */
  dueIn(now: number): number | null {
    return this.#firstAt === null ? null : Math.max(0, this.#firstAt + this.#limits.age - now);
  }

  /** Hands the gathered transactions on and begins anew. */
  seal(end: Lsn, commit: LastCommit | null = null): Batch {
    const batch = {
      changes: this.#changes,
      end,
      transactions: this.#transactions,
      committedAt: this.#committedAt,
      xids: this.#xids,
      commit,
    };
    this.#changes = [];
    this.#xids = new Set();
    this.#tables = new Set();
    this.#bytes = 0;
    this.#transactions = 0;
    this.#firstAt = null;
    this.#committedAt = null;
    return batch;
  }
}
