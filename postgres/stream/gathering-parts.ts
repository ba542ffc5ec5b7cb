/** What collecting batches needs from the lease. */
import type { TablePath } from './table-path.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { BatchLimits } from '../apply/batch.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Doubt } from '../drift/renamed-schema-change.ts';
import type { TableMappings, Unsettled } from '../drift/table-mapping.ts';
import type { LastCommit } from '../store/confirmed-position.ts';
import type { AnchorFilter } from './anchor-filter.ts';
import type { ExactReason } from './lease-summary.ts';

export interface GatheringParts {
  readonly mappings: TableMappings;
  /** Position of the latest exported snapshot: commits at or after it are in no copy; null without a copy. */
  readonly newest: Lsn | null;
  /** Start of the stream; anything before it that the source delivers is dropped. */
  readonly start: Lsn;
  /** Which transactions an anchor leaves out; unset: none. */
  readonly filter?: AnchorFilter;
  /** Whether the plugin sends numbers as text; if not, a null may be a non-finite number. */
  readonly numericAsText: boolean;
  readonly limits: BatchLimits;
  /** LSN and last commit to store with all complete transactions. */
  readonly position: () => { readonly end: Lsn; readonly commit: LastCommit | null };
  /** Finds out what an unknown table is and sets its mapping, or throws. */
  readonly settle: (table: Unsettled) => Promise<void>;
  /** Gets every change; null when every change carries its table's right name. */
  readonly doubt: Pick<Doubt, 'met'> | null;
  /** Called for every TRUNCATE, with its transaction. */
  readonly emptied: (table: TableName, xid: number) => void;
  /** Called with the reason when a table's change leaves the fast path. */
  readonly left?: (table: TableName, why: ExactReason) => void;
}

/** Reports why a line takes the exact path; false is for `Gathering.row`. */
export function left(
  { left: report }: GatheringParts,
  { schema, table: name }: TablePath,
  why: ExactReason,
): false {
  report?.({ schema, name }, why);
  return false;
}
