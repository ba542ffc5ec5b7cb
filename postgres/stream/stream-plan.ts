/** What a running lease asks its plan. */
import type { Lsn } from '../../contract/lsn.ts';
import type { Change } from '../apply/change.ts';
import type { SchemaRows } from '../catalog/schema-row.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Doubt } from '../drift/renamed-schema-change.ts';
import type { WatchedTypes } from '../drift/followed-type.ts';
import type { Left, TableMappings, Unsettled } from '../drift/table-mapping.ts';
import type { Mark } from '../replication/flushed-mark.ts';
import type { Attempt } from '../store/epoch.ts';
import type { SeenTruncates } from './seen-truncate.ts';

export interface StreamPlan {
  readonly mappings: TableMappings;
  /** Position of the latest exported snapshot: commits at or after it are in no copy. Null when nothing was copied. */
  readonly newest: Lsn | null;
  /** Marks of the exported snapshots, in no order. */
  readonly marks: readonly Mark[];
  /** Schemas that the plugin selects; null for all. */
  readonly schemas: readonly string[] | null;
  /** Tables that the plugin omits. */
  readonly without: readonly TableName[];
  /** Continues to exclude a name that now belongs to another table. @throws CatalogMoved when that table is selected. */
  leave(left: Left): Promise<void>;
  /** Catalog rows of the tables' schemas, for the check before a commit. */
  readonly schemaRows: SchemaRows;
  /** Null when no schema's row was written since the stored ones. */
  readonly doubt: Pick<Doubt, 'met' | 'committed'> | null;
  /** @throws MigrationError `Resync` when changes so far may have arrived under a wrong name. */
  refuseDoubtful(): void;
  /** Fingerprints of the tables on the source, for the check before a commit. */
  readonly fingerprints: ReadonlyMap<string, string>;
  /** The tables' types, for the same check. */
  readonly types: WatchedTypes;
  /** LSN after which nothing from before the drift check can arrive; null when no DDL was found. */
  readonly mark: Lsn | null;
  /** Whether the stream must stop at the mark: the target lacks DDL from before it, or a TRUNCATE must have arrived by then. */
  readonly stopsAtMark: boolean;
  /**
   * Decides about a table without a mapping, or a shape mismatch. Writes nothing: it is called while a batch is open on the
   * target's session, where a `commit` would make half of that batch visible.
   * @throws CatalogMoved, or like the drift check.
   */
  settle(table: Unsettled): Promise<void>;
  /**
   * Whether the plan is also valid for another lease: it contains no DDL that the stream may not have reached yet, and nothing
   * arrived that changes a stored definition.
   */
  readonly steady: boolean;
  /** From now on writes under the epoch of the lease that continues with the plan. */
  renew(attempt: Pick<Attempt, 'epoch'>): void;
  /** Digest of the whole plan, to compare it with a later one; null unless `compared` was set. */
  readonly view: string | null;
  /** TRUNCATEs that arrived. */
  readonly emptied: SeenTruncates;
  /** Notes which tables TRUNCATEs among these changes give a new file on the target. */
  truncating(changes: readonly Change[]): void;
  /**
   * Stores which new files are explained by TRUNCATEs of these transactions, the target's new files, and excluded partitions.
   * Uses the open transaction that also stores their position: no later lease receives them again.
   */
  explained(xids: ReadonlySet<number>): Promise<void>;
  /**
   * Finds the reason for a change that found no row: the table may have had changes that were never sent, and then a resync fixes
   * it. Only without an open transaction on the target.
   * @returns the failure to report.
   */
  explain(failure: unknown): Promise<unknown>;
  /** Ends the stream for a table whose changes were not sent; writes nothing. @throws MigrationError `StreamWarning`. */
  missed(table: Unsettled): Promise<never>;
  /**
   * Marks the tables that earlier calls found for a resync. Only without an open transaction on the target.
   * @throws MigrationError `Fenced`.
   */
  note(): Promise<void>;
  /**
   * Must be called with the stored position when a lease has ended.
   * @param reached whether `until` was reached: after a drain, no stream reaches the mark.
   * @throws MigrationError `SchemaDrift`; `Resync` when a TRUNCATE that would explain a table's new file did not arrive.
   */
  passed(stored: Lsn, reached: boolean): Promise<void>;
}
