/**
 * Applies a batch to the target: folded and as sets where possible, change by change where not.
 *
 * TRUNCATE is a barrier: everything before it is applied, then the statement, then what follows. Between barriers tables are
 * independent of each other (in replica role nothing links them), so each table's changes are applied together, in their own
 * order. The table is the target's: source partitions that go through one root are one table here. Otherwise a key that one
 * partition gives up and another takes could be applied in the wrong order.
 *
 * Sets can violate a constraint that the single changes did not. Then the work since the savepoint is rolled back and repeated in
 * smaller parts, and a part that fails again is replayed change by change. What fails there is a real error.
 */
import { grouped } from '../../contract/grouped.ts';
import type pg from 'pg';
import type { Change, PlannedRelation, RowChange, Truncate } from './change.ts';
import type { Defaults } from '../connection/defaults.ts';
import {
  PINNED_FOR_ROWS,
  printsInexactly,
  setFor,
  type Settings,
} from '../connection/apply-settings.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { hasReplicaRole } from '../session/replica-role.ts';
import { replayByCtid } from './replay-by-ctid.ts';
import { isTransient } from './transient-failure.ts';
import { fold } from './fold.ts';
import type { Image } from './fold.ts';
import { replay } from './replay.ts';
import type { Step } from './replay.ts';
import { writeNetEffect, FEW_ROWS, insertRows } from './net-effect-writer.ts';
import { Staging } from './staging.ts';
import { readTable } from './table-catalog.ts';
import { destinationOf } from './target-table.ts';
import type { TargetTable } from './target-table.ts';

/**
 * Number of parts that a refused batch is split into before the refused parts are replayed: one conflict in 20,000 changes then
 * costs the replay of about 1,250, and a batch full of conflicts costs its sets only twice.
 */
const PARTS = 16;

/** A TRUNCATE that could not be applied. */
export class TruncateFailed extends Error {
  override readonly name = 'TruncateFailed';
  readonly truncate: Truncate;

  constructor(truncate: Truncate, cause: unknown) {
    super('a TRUNCATE could not be applied', { cause });
    this.truncate = truncate;
  }
}

export class ChangeWriter {
  readonly #client: pg.Client;
  readonly #defaults: Defaults;
  /** Settings of the open transaction; null: ours, or unknown. */
  #settings: Settings | null = null;
  readonly staging: Staging;
  readonly #tables = new Map<string, TargetTable>();
  /** How often sets were refused and applied again: for benchmarks and tests only. */
  refusals = 0;

  constructor(client: pg.Client, defaults: Defaults) {
    this.#client = client;
    this.#defaults = defaults;
    this.staging = new Staging(client);
  }

  /** A transaction has begun or was rolled back: it has the session's settings, or the given ones. */
  begun(settings: Settings | null = null): void {
    this.#settings = settings;
  }

  /** The settings that a table's expressions are evaluated under. */
  settingsOf({ owner }: TargetTable): Settings {
    return this.#defaults.settings(owner);
  }

  /**
   * Applies changes in the open transaction.
   * @throws StepFailed, TruncateFailed for a change that cannot be applied; the server's error when it is transient.
   */
  async apply(changes: readonly Change[]): Promise<void> {
    let rows: RowChange[] = [];
    for (const change of changes) {
      if (change.kind !== 'truncate') {
        rows.push(change);
        continue;
      }
      await this.#applyRows(rows);
      rows = [];
      await this.#truncate(change);
    }
    await this.#applyRows(rows);
  }

  async #applyRows(changes: readonly RowChange[]): Promise<void> {
    const steps: Step[] = [];
    for (const origin of changes) {
      const table = await this.table(origin.relation);
      steps.push({ table, change: table.positioned(origin), origin });
    }
    // Tables are independent of each other: those whose owners have different defaults are applied separately.
    for (const [settings, some] of grouped(steps, ({ table }) => this.settingsOf(table))) {
      await this.#useSettings(settings);
      // These rows are identified by texts. All changes of one target table must stay in order, also when partitions of a root
      // differ here: a value that one gives up and another takes would otherwise exist twice.
      const byText = new Set(
        printsInexactly(settings)
          ? some.filter(({ table }) => table.key === null).map(({ table }) => table.qualified)
          : [],
      );
      await this.#applySteps(
        some.filter(({ table }) => !byText.has(table.qualified)),
        PARTS,
      );
      await replayByCtid(
        this.#client,
        some.filter(({ table }) => byText.has(table.qualified)),
        settings,
      );
    }
  }

  /** From here on, the transaction evaluates expressions as the application's sessions do. */
  async #useSettings(settings: Settings): Promise<void> {
    if (this.#settings === settings) return;
    await setFor('transaction', this.#client, settings);
    this.#settings = settings;
  }

  async #applySteps(steps: readonly Step[], parts: number): Promise<void> {
    if (steps.length <= FEW_ROWS) {
      await replay(this.#client, steps);
      return;
    }
    await this.#client.query(/* sql */ 'savepoint walferry_sets');
    try {
      const tables = grouped(steps, ({ table }) => table.qualified).values();
      for (const group of tables) await this.#applyTable(group);
      await this.#client.query(/* sql */ 'release savepoint walferry_sets');
      return;
    } catch (error) {
      if (isTransient(error)) throw error;
      this.refusals += 1;
      await this.#client.query(/* sql */ 'rollback to savepoint walferry_sets');
      await this.#client.query(/* sql */ 'release savepoint walferry_sets');
      this.staging.rolledBack();
    }
    if (parts === 1) {
      await replay(this.#client, steps);
      return;
    }
    // The batch may be split anywhere: after the first part the rows are as they were on the source at that point.
    const size = Math.ceil(steps.length / parts);
    for (let from = 0; from < steps.length; from += size) {
      await this.#applySteps(steps.slice(from, from + size), 1);
    }
  }

  /** One table's changes, in source order. */
  async #applyTable(steps: readonly Step[]): Promise<void> {
    const table = steps[0]?.table;
    if (!table || steps.length <= FEW_ROWS) {
      await replay(this.#client, steps);
      return;
    }
    // Partitions with different identities name their rows differently, so they cannot be folded together.
    const alike = steps.every((step) => step.table === table);
    const net =
      table.foldable && alike
        ? fold(
            steps.map(({ change }) => change),
            (table.key ?? []).map(({ position }) => position),
          )
        : undefined;
    if (net) await writeNetEffect(this.#client, this.staging, table, net);
    else await this.#applyInOrder(table, steps);
  }

  /** A table that cannot be folded: source order, with consecutive inserts grouped. */
  async #applyInOrder(table: TargetTable, steps: readonly Step[]): Promise<void> {
    let others: Step[] = [];
    let inserts: Step[] = [];
    const flush = async (): Promise<void> => {
      if (inserts.length <= FEW_ROWS) {
        others.push(...inserts);
      } else {
        await replay(this.#client, others);
        others = [];
        await insertRows(this.#client, table, inserts.map(insertedImage));
      }
      inserts = [];
    };
    for (const step of steps) {
      if (step.change.kind === 'insert') {
        inserts.push(step);
      } else {
        if (inserts.length > 0) await flush();
        others.push(step);
      }
    }
    await flush();
    await replay(this.#client, others);
  }

  /** One statement for all tables of the source's TRUNCATE: foreign keys between them allow no other way. */
  async #truncate(change: Truncate): Promise<void> {
    const names: string[] = [];
    const parts: string[] = [];
    let owner: string | null = null;
    for (const relation of change.relations) {
      const table = await this.table(relation);
      const { only } = table;
      owner ??= table.owner;
      if (relation.destination === undefined) names.push(only);
      else if (relation.bounds !== undefined) parts.push(`${only} where ${relation.bounds}`);
      // Truncating the whole table would be wrong, and so would doing nothing.
      else throw new TruncateFailed(change, new Error('a partition without bounds'));
    }
    if (names.length + parts.length === 0) return;
    try {
      await this.#useSettings(this.#defaults.settings(owner));
      await this.#client.query(/* sql */ 'savepoint walferry_truncate');
      try {
        if (names.length > 0) await this.#client.query(/* sql */ `truncate ${names.join(', ')}`);
      } catch (error) {
        if (sqlstate(error) !== SQLSTATE.featureNotSupported) throw error;
        await this.#client.query(/* sql */ 'rollback to savepoint walferry_truncate');
        // The referencing table was in the source's statement, and is excluded because its copy is newer. Enabled foreign keys
        // would cascade to that copy's rows.
        if (!(await hasReplicaRole(this.#client))) throw error;
        for (const name of names) await this.#client.query(/* sql */ `delete from ${name}`);
      }
      for (const part of parts) await this.#client.query(/* sql */ `delete from ${part}`);
      await this.#client.query(/* sql */ 'release savepoint walferry_truncate');
    } catch (error) {
      if (isTransient(error)) throw error;
      throw new TruncateFailed(change, error);
    }
  }

  /** The target table, read once. @throws MigrationError as `readTable`. */
  async table(relation: PlannedRelation): Promise<TargetTable> {
    const name = nameOf(relation);
    let table = this.#tables.get(name);
    if (!table) {
      if (this.#settings !== null) await setFor('transaction', this.#client, PINNED_FOR_ROWS);
      this.#settings = null;
      table = await readTable(this.#client, relation, this.#tables.size);
      this.#tables.set(name, table);
    }
    return table;
  }

  /** The target table, if it was already read. */
  known(relation: PlannedRelation): TargetTable | undefined {
    return this.#tables.get(nameOf(relation));
  }

  /** Whether all cached tables and defaults are still current; queried over another session. */
  async isCurrent(other: pg.Client, defaults: Defaults): Promise<boolean> {
    if (!this.#defaults.equals(defaults)) return false;
    // More tables may be read while these queries run.
    for (const known of [...this.#tables.values()]) {
      const now = await readTable(other, known.relation, known.number);
      if (JSON.stringify(now) !== JSON.stringify(known)) return false;
    }
    return true;
  }
}

function nameOf(relation: PlannedRelation): string {
  const { schema, name } = destinationOf(relation);
  return JSON.stringify([schema, name, relation.key, relation.full]);
}

function insertedImage(step: Step): Image {
  return step.change.kind === 'insert' ? step.change.columns : [];
}
