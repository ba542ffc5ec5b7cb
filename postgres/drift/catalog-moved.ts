/** The source's catalog changed during the lease: the lease restarts from the last stored LSN. */
import { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Unsettled } from './table-mapping.ts';

/** How often a lease may restart at one LSN. Together with the pauses, that is a second and a half of DDL. */
const MOST_MOVES = 6;
const FIRST_PAUSE_MS = 50;

/** Replaces the table name when a check of all tables found that one has changed. */
export const DRIFT_CHECKED = 'a table of the migration';

/** An internal signal, never shown: the next reading of the plan reports what happened. */
export class CatalogMoved extends Error {
  override readonly name = 'CatalogMoved';
  /** The table that was altered, with its schema. */
  readonly table: string;
  /** The change that showed it; null when a check before a commit did. */
  readonly met: Unsettled | null;

  constructor(table: string, met: Unsettled | null) {
    super(`the source's catalog has changed: ${table}`);
    this.table = table;
    this.met = met;
  }
}

/** Counts restarts without progress: a table altered more often than a batch takes would block the stream forever, unnoticed. */
export class Moves {
  #position: Lsn | null = null;
  #count = 0;

  /** A lease begins at this position; another one than before means progress. */
  begin(position: Lsn): void {
    if (position !== this.#position) this.#count = 0;
    this.#position = position;
  }

  /**
   * @returns milliseconds to wait before the next lease begins; 0 for the first restart at a position.
   * @throws MigrationError `Contention` naming the table when there were too many.
   */
  pauseAfter({ table }: CatalogMoved): number {
    this.#count += 1;
    if (this.#count > MOST_MOVES) {
      throw new MigrationError(
        'Contention',
        `DDL on the source alters ${table} faster than its changes can be applied: the stream stays at ${this.#position ?? 'its start'} until that stops (look for a job that runs DDL or sets column statistics on ${table})`,
        { table, ...(this.#position === null ? {} : { lsn: this.#position }) },
      );
    }
    return this.#count === 1 ? 0 : FIRST_PAUSE_MS * 2 ** (this.#count - 2);
  }
}
