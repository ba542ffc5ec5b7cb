/**
 * The applying session on the target. Each transaction starts by locking the control row and ends by storing the confirmed LSN in
 * it, so rows and LSN become durable together or not at all.
 *
 * States: idle; open (after begin). Every error in an open transaction rolls it back completely and leaves the session idle. When
 * the connection is lost, also at COMMIT, the outcome of the transaction is unknown here: the caller opens a new session, and its
 * `takeEpoch` reads the stored LSN.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { Defaults } from '../connection/defaults.ts';
import { isCustomized, PINNED_FOR_ROWS, setFor } from '../connection/apply-settings.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import { takeReplicaRole } from '../session/replica-role.ts';
import { fenced, holdEpoch } from '../store/epoch.ts';
import { FlightFailed } from '../session/flight-query.ts';
import { applyFailure, notAdvanced } from './apply-failure.ts';
import { setForApplying } from './apply-setting.ts';
import { ChangeWriter } from './change-writer.ts';
import type { Change } from './change.ts';
import { FoldedFlights, type FoldedTable, type Question } from './folded-flight.ts';
import { FoldedGroups } from './folded-group.ts';
import {
  BEGIN,
  DEFER,
  HOLD_PLACE,
  openingInside,
  openingOutside,
  RELEASE,
  SAVEPOINT,
} from './flight-opening.ts';
import { isTransient } from './transient-failure.ts';
import { NonFiniteNumbers } from './non-finite.ts';
import { ADVANCE, type Advance, NOT_ADVANCED, advanceValues } from '../store/confirmed-position.ts';

export interface ApplierOptions {
  /** Whether the plugin sends numbers as text (wal2json 2.6 and later). If not, NaN and infinities are read back. */
  readonly numericAsText: boolean;
}

const READING_BACK = { step: 'reading non-finite numbers back', side: 'source' } as const;

export class TargetApplier implements AsyncDisposable {
  /**
   * Whether triggers, rules and foreign keys are disabled by `session_replication_role = replica`. Without the right to set it,
   * constraints are only deferred, and foreign keys must be omitted until the drain.
   */
  readonly replicaRole: boolean;
  /** The session. Run `takeEpoch` on it, so that the recorded backend is the one that applies. */
  readonly client: pg.Client;
  readonly #migration: Migration;
  readonly #batch: ChangeWriter;
  readonly #nonFinite: NonFiniteNumbers | undefined;
  readonly #folded: FoldedFlights;
  readonly #groups: FoldedGroups;
  /** Whether the open transaction holds a flight's savepoint. */
  #saved = false;
  #epoch: bigint | undefined;

  private constructor(
    migration: Migration,
    client: pg.Client,
    replicaRole: boolean,
    { numericAsText }: ApplierOptions,
    defaults: Defaults,
  ) {
    this.#migration = migration;
    this.client = client;
    this.replicaRole = replicaRole;
    this.#batch = new ChangeWriter(client, defaults);
    this.#folded = new FoldedFlights(client);
    this.#groups = new FoldedGroups(this.#batch, this.#folded);
    this.#nonFinite = numericAsText ? undefined : new NonFiniteNumbers(migration);
  }

  /**
   * Opens the session on the target.
   * @param session an open session of purpose `apply`; the applier takes ownership of it.
   * @throws MigrationError `Unreachable`, `Denied`.
   */
  static async open(
    migration: Migration,
    options: ApplierOptions,
    session?: pg.Client,
  ): Promise<TargetApplier> {
    let client = session;
    try {
      client ??= await connectTarget(migration, 'apply');
      await setForApplying(client);
      const defaults = await Defaults.read(migration.target, 'apply', client);
      return new TargetApplier(migration, client, await takeReplicaRole(client), options, defaults);
    } catch (error) {
      await client?.end().catch(() => undefined);
      throw classify(error, { step: 'opening the applying session', side: 'target' }, 'Internal');
    }
  }

  /**
   * Opens a transaction. Its first statement locks the control row, which fences off older attempts.
   * @throws MigrationError `Fenced` when a newer attempt took over; no transaction is open then.
   */
  async begin(epoch: bigint): Promise<void> {
    if (this.#epoch !== undefined) throw misuse('begin inside an open transaction');
    try {
      await this.#batch.staging.prune();
      await this.client.query(BEGIN);
      await holdEpoch(this.client, this.#migration, epoch);
      if (!this.replicaRole) await this.client.query(DEFER);
      this.#epoch = epoch;
      this.#batch.begun();
    } catch (error) {
      await this.rollback();
      throw classify(error, { step: 'beginning to apply', side: 'target' }, 'Internal');
    }
  }

  /**
   * Applies folded rows, in the open transaction or in one that it opens.
   * @param xids source transactions (32-bit top-level ids) that the rows are from.
   * @param question sent after the rows.
   * @returns `answered` when the rows are applied and the question had the expected answer, `applied` when only the rows are.
   *   `refused`: the transaction is as it was before, or not open.
   * @throws MigrationError `Fenced`, `Contention`, `Unreachable`, `UnknownRelation`, `SchemaDrift`; no transaction is open then.
   */
  async applyFolded(
    epoch: bigint,
    tables: readonly FoldedTable[],
    xids: ReadonlySet<number>,
    question: Question | null = null,
  ): Promise<'answered' | 'applied' | 'refused'> {
    const wasOpen = this.#epoch !== undefined;
    await this.#settleFolded(tables, xids);
    try {
      const groups = await this.#groups.of(tables);
      if (groups === null) return 'refused';
      if (!wasOpen) await this.#batch.staging.prune();
      // Customized settings may need a privilege that must be checked first.
      const asked = groups.find(({ settings }) => isCustomized(settings));
      if (asked && groups.length > 1) return 'refused';
      if (asked) {
        if (!wasOpen) await this.begin(epoch);
        await setFor('transaction', this.client, asked.settings);
        this.#batch.begun(asked.settings);
      }
      const opening = wasOpen
        ? openingInside(this.#saved)
        : openingOutside(this.#migration, epoch, this.replicaRole);
      const flown = await this.#folded.fly(opening, groups, asked === undefined, question);
      if (flown.outcome === 'applied') {
        this.#epoch = epoch;
        this.#saved = opening.includes(SAVEPOINT);
        this.#batch.begun(groups.at(-1)?.settings);
        return flown.answered ? 'answered' : 'applied';
      }
      if (flown.outcome === 'not begun') {
        const over = flown.opening === HOLD_PLACE && sqlstate(flown.error) === NOT_ADVANCED;
        throw over ? fenced(epoch) : (asError(flown.error) ?? misuse('a flight did not begin'));
      }
      const error = asError(flown.error);
      if (error !== null && isTransient(error)) throw error;
      flown.table.refuse(false);
      this.#batch.refusals += 1;
      if (wasOpen) await this.#undo();
      else await this.rollback();
      return 'refused';
    } catch (error) {
      await this.rollback();
      throw classify(error, { step: 'applying', side: 'target' }, 'Internal');
    }
  }

  /**
   * Serializes the rows of the next batch while the previous one is applied; {@link applyFolded} then only sends them. Does
   * nothing where something must be queried first.
   */
  prepareFolded(tables: readonly FoldedTable[]): void {
    if (this.#nonFinite && tables.some(({ rows }) => rows.anyDoubtful)) return;
    this.#groups.prepare(tables);
  }

  async #settleFolded(tables: readonly FoldedTable[], xids: ReadonlySet<number>): Promise<void> {
    try {
      await this.#nonFinite?.settleFolded(tables, xids);
    } catch (error) {
      await this.rollback();
      throw classify(error, READING_BACK, 'Internal');
    }
  }

  /** Rolls back to where the flight began. The settings revert to those of that point, which are not known here. */
  async #undo(): Promise<void> {
    await this.client.query(/* sql */ 'rollback to savepoint walferry_folded');
    await this.client.query(RELEASE.sql);
    this.#saved = false;
    this.#batch.staging.rolledBack();
    await setFor('transaction', this.client, PINNED_FOR_ROWS);
    this.#batch.begun();
  }

  /**
   * Applies changes in the open transaction: a batch, or a piece of a huge source transaction. Any error first rolls back the
   * whole transaction.
   * @throws MigrationError `ChangeFailed` or `RowMissing` for a change that cannot be applied (its key is then in
   *   walferry.stopped_change), `Contention` and `Unreachable` when the batch is to be retried, `UnknownRelation`, `SchemaDrift`.
   */
  async apply(changes: readonly Change[]): Promise<void> {
    const epoch = this.#epoch;
    if (epoch === undefined) throw misuse('apply outside of a transaction');
    let settled = changes;
    try {
      if (this.#nonFinite) settled = await this.#nonFinite.settle(changes);
    } catch (error) {
      await this.rollback();
      throw classify(error, READING_BACK, 'Internal');
    }
    try {
      await this.#batch.apply(settled);
    } catch (error) {
      await this.rollback();
      throw await applyFailure(this.client, this.#migration, epoch, error);
    }
  }

  /**
   * Stores the position and commits.
   * @throws MigrationError `Fenced`; `Unreachable` when the answer was lost: the transaction may or may not be committed.
   */
  async commit(progress: Advance): Promise<void> {
    const epoch = this.#epoch;
    if (epoch === undefined) throw misuse('commit outside of a transaction');
    try {
      const values = advanceValues(this.#migration, epoch, progress);
      await this.#folded.commit(ADVANCE, values);
      this.#epoch = undefined;
      this.#saved = false;
      this.#batch.staging.committed();
      this.#batch.begun();
    } catch (thrown) {
      await this.rollback();
      const flown = thrown instanceof FlightFailed ? thrown : null;
      const error = flown?.cause ?? thrown;
      if (flown?.statement === 0 && sqlstate(error) === NOT_ADVANCED)
        throw await notAdvanced(this.client, this.#migration, epoch, progress);
      throw classify(
        error,
        { step: 'committing', lsn: progress.confirmedLsn, side: 'target' },
        sqlstate(error) === undefined ? 'Internal' : 'ChangeFailed',
      );
    }
  }

  /** Rolls back the open transaction, if any. Never throws: a lost connection rolls back too. */
  async rollback(): Promise<void> {
    this.#epoch = undefined;
    this.#saved = false;
    this.#batch.staging.rolledBack();
    this.#batch.begun();
    await this.client.query(/* sql */ 'rollback').catch(() => undefined);
  }

  /** How often sets were refused and applied again in smaller parts: a metric, not an error. */
  get refusals(): number {
    return this.#batch.refusals;
  }

  /**
   * Whether the target's tables and defaults still match what this session cached when it first needed them.
   * @param other a session on the target, to query while this one applies.
   * @throws as `readTable`, and the server's errors.
   */
  async isCurrent(other: pg.Client): Promise<boolean> {
    const defaults = await Defaults.read(this.#migration.target, 'apply', other);
    return this.#batch.isCurrent(other, defaults);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nonFinite?.close();
    await this.client.end().catch(() => undefined);
  }
}

function asError(thrown: unknown): Error | null {
  if (thrown === null) return null;
  return thrown instanceof Error ? thrown : new Error('the target failed', { cause: thrown });
}

function misuse(what: string): MigrationError {
  return new MigrationError('Internal', `the applier was called out of order: ${what}`);
}
