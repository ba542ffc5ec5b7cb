/** Writes an anchor's barrier along with its rows, and clears it along with the first position past it. */
import type pg from 'pg';
import { compareLsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Batch } from '../apply/batch.ts';
import type { FailPoint } from '../apply/failpoint.ts';
import { clearBarrier, writeBarrier, type Barrier } from '../store/barrier.ts';

/** What a commit of the stream does, for the places where a test kills it. */
export type CommitKind = 'target' | 'barrier' | 'clearing';

export const BEFORE_COMMIT: Readonly<Record<CommitKind, FailPoint>> = {
  target: 'before-target-commit',
  barrier: 'before-barrier-commit',
  clearing: 'before-clearing-commit',
};
export const AFTER_COMMIT: Readonly<Record<CommitKind, FailPoint>> = {
  target: 'after-target-commit-before-confirm',
  barrier: 'after-barrier-commit',
  clearing: 'after-clearing-commit',
};

export class BarrierRecord {
  readonly #client: pg.ClientBase;
  readonly #migration: Migration;
  #inForce: Barrier | null;
  #next: Barrier | null;

  /** @param client the applying session. @param inForce at the start of the attempt. */
  constructor(client: pg.ClientBase, migration: Migration, inForce: Barrier | null) {
    this.#client = client;
    this.#migration = migration;
    this.#inForce = inForce;
    this.#next = inForce;
  }

  get inForce(): Barrier | null {
    return this.#inForce;
  }

  /** In the batch's open transaction, just before its commit. */
  async write({ barrier, end }: Pick<Batch, 'barrier' | 'end'>): Promise<CommitKind> {
    if (barrier !== undefined && end !== null) {
      await writeBarrier(this.#client, this.#migration, barrier, end);
      this.#next = barrier;
      return 'barrier';
    }
    if (this.#inForce === null || end === null || compareLsn(end, this.#inForce.lsn) < 0)
      return 'target';
    await clearBarrier(this.#client, this.#migration);
    this.#next = null;
    return 'clearing';
  }

  /** That transaction is committed. */
  committed(): void {
    this.#inForce = this.#next;
  }
}
