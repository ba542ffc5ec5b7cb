/**
 * One state of both sides that a verification compares at: exported snapshots that a owner keeps alive. This room only needs the
 * two ways to get one, so that every step is tested with ordinary snapshots, too.
 */
import type pg from 'pg';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';

export interface HeldState {
  readonly id: string;
  /** Names from pg_export_snapshot(), which can be imported while the owner lives. */
  readonly sourceSnapshot: string;
  readonly targetSnapshot: string;
  /** pg_current_snapshot() of the source's snapshot. */
  readonly visible: string;
  readonly lsn: Lsn;
}

export interface StateSource {
  /** The state that a owner keeps now; null: none. */
  live(target: pg.ClientBase, migration: Migration): Promise<HeldState | null>;
  /**
   * Holds a state while `use` runs. Its signal is aborted when the state is over; `use` must end then.
   * @param holdMs how long at most; unset: 15 minutes.
   * @throws MigrationError, retryable, when the stream could not stand at one.
   */
  hold<T>(
    migration: Migration,
    work: Work,
    use: (state: HeldState, signal: AbortSignal) => Promise<T>,
    holdMs?: number,
  ): Promise<T>;
}

/** A state at which the stream stands while rows are repaired. */
export interface StandingSource extends StateSource {
  /**
   * As {@link StateSource.hold}. During `use` the session of the target is in a transaction that has the migration's control row
   * locked, taken while the target showed exactly this state: the stream writes nothing until the transaction ends, which `use`
   * decides.
   */
  holdStanding<T>(
    migration: Migration,
    work: Work,
    locked: pg.Client,
    use: (state: HeldState) => Promise<T>,
  ): Promise<T>;
}
