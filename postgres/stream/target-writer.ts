/**
 * Writes batches to the target, one at a time and in order, and maintains the checkpoint. Between two parts of a huge source
 * transaction the target transaction stays open; it is committed only with the last part.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Checkpoint } from '../../contract/work.ts';
import type { Change } from '../apply/change.ts';
import { failPoint } from '../apply/failpoint.ts';
import type { TargetApplier } from '../apply/applier.ts';
import type { Attempt } from '../store/epoch.ts';
import type { Batch } from '../apply/batch.ts';
import { AFTER_COMMIT, BEFORE_COMMIT, type BarrierRecord } from './barrier-record.ts';
import type { TriggerCheck } from './trigger-check.ts';

/** What the writer needs from the applying session; tests replace it. */
export type Applying = Pick<
  TargetApplier,
  'begin' | 'applyFolded' | 'prepareFolded' | 'apply' | 'commit' | 'rollback'
>;

export class TargetWriter {
  readonly #applier: Applying;
  readonly #epoch: bigint;
  /** The target becomes consistent when the stored LSN reaches it; null when nothing was copied. */
  readonly #newest: Lsn | null;
  readonly #verify: (batch: Batch) => Promise<void>;
  readonly #also: (batch: Batch, consistentAt: Lsn | null) => Promise<void>;
  readonly #enabled: Pick<TriggerCheck, 'question' | 'settled'> | null;
  readonly #barriers: Pick<BarrierRecord, 'write' | 'committed'> | null;
  #checkpoint: Checkpoint & { readonly consistent: boolean };
  #open = false;
  /** After a failed batch, no later one may be applied: its LSN would confirm the gap. */
  #failed = false;
  /** Counters of the open transaction. */
  #transactions = 0;
  #changes = 0;

  /**
   * @param verify runs in parallel to every batch and is awaited before its commit; rejects when the batch must not be committed.
   * @param also writes what has to become durable with the batch, in its transaction, just before the commit. Gets the
   *   position with which the target becomes consistent, null before and after that.
   * @param enabled supplies the query for enabled triggers that is sent together with rows, and gets the tables that have none.
   * @param barriers writes and clears the barriers of anchors, in the batch's transaction.
   */
  constructor(
    applier: Applying,
    attempt: Attempt,
    newest: Lsn | null,
    verify: (batch: Batch) => Promise<void> = () => Promise.resolve(),
    also: (batch: Batch, consistentAt: Lsn | null) => Promise<void> = () => Promise.resolve(),
    enabled: Pick<TriggerCheck, 'question' | 'settled'> | null = null,
    barriers: Pick<BarrierRecord, 'write' | 'committed'> | null = null,
  ) {
    this.#barriers = barriers;
    this.#enabled = enabled;
    this.#applier = applier;
    this.#verify = verify;
    this.#also = also;
    this.#epoch = attempt.epoch;
    this.#newest = newest;
    const { confirmedLsn, transactions, changes, consistent } = attempt;
    this.#checkpoint = { confirmedLsn, transactions, changes, consistent };
  }

  /** The target's checkpoint. */
  get checkpoint(): Checkpoint & { readonly consistent: boolean } {
    return this.#checkpoint;
  }

  /** Whether a target transaction waits for the next part of a huge source transaction. */
  get open(): boolean {
    return this.#open;
  }

  /** Whether a commit at this position would change the stored row, even without changes. */
  wouldAdvance(position: Lsn): boolean {
    return (
      position !== this.#checkpoint.confirmedLsn ||
      this.#consistentAt(position) !== this.#checkpoint.consistent
    );
  }

  /**
   * Applies the batch, and commits if it ends at a commit boundary.
   * @returns whether it was committed, and which of its changes were applied change by change.
   * @throws MigrationError of the applier, after a rollback of the target transaction.
   */
  async write(
    batch: Batch,
  ): Promise<{ readonly committed: boolean; readonly exact: readonly Change[] }> {
    if (this.#failed) throw afterFailure(batch.end);
    const verified = this.#verify(batch);
    // Awaited below; until then a rejection must not count as unhandled.
    verified.catch(() => undefined);
    try {
      const exact = await this.#apply(batch);
      await verified;
      this.#transactions += batch.transactions;
      this.#changes += batch.size;
      if (batch.end === null) return { committed: false, exact };
      const next = {
        confirmedLsn: batch.end,
        transactions: this.#checkpoint.transactions + this.#transactions,
        changes: this.#checkpoint.changes + this.#changes,
        consistent: this.#consistentAt(batch.end),
      };
      const becomes = next.consistent && !this.#checkpoint.consistent;
      await this.#also(batch, becomes ? next.confirmedLsn : null);
      const kind = (await this.#barriers?.write(batch)) ?? 'target';
      failPoint(BEFORE_COMMIT[kind]);
      await this.#applier.commit({ ...next, commit: batch.commit ?? null });
      failPoint(AFTER_COMMIT[kind]);
      this.#checkpoint = next;
      this.#barriers?.committed();
      this.#closed();
      return { committed: true, exact };
    } catch (error) {
      this.#failed = true;
      if (this.#open) await this.#applier.rollback();
      this.#closed();
      // Changes of an altered table often fail, too, but the operator needs to know about the DDL.
      await verified;
      throw error;
    }
  }

  /** Prepares a batch as far as possible while the one before it is written. */
  prepare(batch: Batch): void {
    if (!this.#failed) this.#applier.prepareFolded(batch.folded);
  }

  /** @returns the changes that were applied change by change. */
  async #apply(batch: Batch): Promise<readonly Change[]> {
    let { changes } = batch;
    if (batch.folded.length > 0) {
      const relations = batch.folded.map(({ relation }) => relation);
      const question = this.#enabled?.question(relations) ?? null;
      const { folded, xids } = batch;
      const applied = await this.#applier.applyFolded(this.#epoch, folded, xids, question);
      // None of them was applied. Applied change by change, the failing one is found.
      if (applied === 'refused') changes = batch.exactly();
      else this.#open = true;
      // Changes applied after the query may reach partitions that none of those rows has locked.
      const later = new Set(
        changes.flatMap((one) => (one.kind === 'truncate' ? one.relations : [one.relation])),
      );
      if (applied === 'answered')
        this.#enabled?.settled(relations.filter((one) => !later.has(one)));
    }
    if (!this.#open) {
      await this.#applier.begin(this.#epoch);
      this.#open = true;
    }
    if (changes.length > 0) await this.#applier.apply(changes);
    return changes;
  }

  /** Rolls back the open transaction, if there is one. */
  async rollback(): Promise<void> {
    if (!this.#open) return;
    this.#closed();
    await this.#applier.rollback();
  }

  #consistentAt(position: Lsn): boolean {
    if (this.#checkpoint.consistent || this.#newest === null) return true;
    return compareLsn(position, this.#newest) >= 0;
  }

  #closed(): void {
    this.#open = false;
    this.#transactions = 0;
    this.#changes = 0;
  }
}

function afterFailure(lsn: Lsn | null): MigrationError {
  return new MigrationError(
    'Internal',
    'a batch was about to be applied although the one before it had failed',
    lsn === null ? {} : { lsn },
  );
}
