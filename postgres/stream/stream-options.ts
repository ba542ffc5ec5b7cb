/** What a lease is asked to do. */
import type { Lsn } from '../../contract/lsn.ts';
import type { IgnorePatterns } from '../catalog/ignored.ts';
import type { ReaderLimits } from '../replication/reader-options.ts';
import type { LoopLimits } from './loop-parts.ts';

export interface StreamOptions {
  /** The last confirmed LSN that the workflow saw; the target's applied LSN must not be lower. */
  readonly floor: Lsn | null;
  /** Return as soon as everything that commits before this LSN is applied. */
  readonly until: Lsn | null;
  readonly leaseMs: number;
  readonly batchChanges: number;
  readonly batchMilliseconds: number;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly viaPartitionRoot?: readonly string[];
  readonly mayBeSplit?: readonly string[];
  /** Which limitations of single tables the operator accepts. */
  readonly ignore?: IgnorePatterns;
  /** Awaited when partitions have joined the plan without a copy, before a change of theirs is applied. */
  readonly joined?: () => Promise<void>;
  /** For tests: smaller limits make rare cases cheap. */
  readonly limits?: Partial<
    ReaderLimits & Omit<LoopLimits, 'changes' | 'age'> & { readonly stuckMs: number }
  >;
}
