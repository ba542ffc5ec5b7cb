/** What the loop of a lease works with. */
import type { Lsn } from '../../contract/lsn.ts';
import type { BatchLimits } from '../apply/batch.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Doubt } from '../drift/renamed-schema-change.ts';
import type { TableMappings, Unsettled } from '../drift/table-mapping.ts';
import type { ReplicationReader } from '../replication/reader.ts';
import type { AnchorFilter } from './anchor-filter.ts';
import type { LeaseEnd } from './lease-end.ts';
import type { SnapshotMarks } from './snapshot-mark.ts';
import type { Meter } from './meter.ts';
import type { TargetWriter } from './target-writer.ts';

export interface LoopLimits extends BatchLimits {
  /** A position without changes is stored at least at this interval, so that an idle database's slot moves. Milliseconds. */
  readonly positionMs: number;
  /** … or after this many bytes of WAL. */
  readonly positionBytes: number;
}

export interface LoopParts {
  readonly reader: Pick<
    ReplicationReader,
    'take' | 'ready' | 'nudge' | 'confirm' | 'waiting' | 'receivedLsn' | 'parts'
  >;
  readonly writer: TargetWriter;
  readonly mappings: TableMappings;
  /** Finds out what an unknown table is and sets its mapping, or throws. */
  readonly settle: (table: Unsettled) => Promise<void>;
  /** Called for every TRUNCATE, with its transaction. */
  readonly emptied: (table: TableName, xid: number) => void;
  /** Throws for a table with a change that the source did not send. */
  readonly missed: (table: Unsettled) => Promise<never>;
  /** Gets every change and commit; null when every change carries its table's right name. */
  readonly doubt: Pick<Doubt, 'met' | 'committed'> | null;
  readonly newest: Lsn | null;
  /** Whether the plugin sends numbers as text. */
  readonly numericAsText: boolean;
  /** Marks of the copy in the WAL ahead: the stream must receive them. */
  readonly marks: SnapshotMarks;
  readonly lease: LeaseEnd;
  readonly meter: Meter;
  readonly limits: LoopLimits;
  /**
   * Awaited before a batch of this many changes. `open`: its transaction is open already. False: do not apply it, because the
   * signal was aborted.
   */
  readonly allow?: (changes: number, open: boolean) => Promise<boolean>;
  /** Which transactions an anchor leaves out; unset: none. */
  readonly filter?: AnchorFilter;
  /** Whether the run is to end between two transactions, because an anchor is wanted. */
  readonly anchorWanted?: () => boolean;
  readonly until: Lsn | null;
  readonly signal: AbortSignal;
}
