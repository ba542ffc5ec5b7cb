/** The source's catalog is not what the lease began with: it begins anew, from the last position that was stored. */
import { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Unsettled } from './filter.ts';

/** So often a lease may begin anew at one position. With the pauses between them that is a second and a half of DDL. */
const MOST_MOVES = 6;
const FIRST_PAUSE_MS = 50;

/** In place of a table, where a look at all of them found that one is not as it was. */
export const DRIFT_CHECKED = 'a table of the migration';

/** A signal between the parts of the stream, never shown: the next reading of the plan says what happened. */
export class CatalogMoved extends Error {
  override readonly name = 'CatalogMoved';
  /** The table that was altered, with its schema. */
  readonly table: string;
  /** The change that showed it; null when a look before a commit did. */
  readonly met: Unsettled | null;

  constructor(table: string, met: Unsettled | null) {
    super(`the catalog of the source has moved on: ${table}`);
    this.table = table;
    this.met = met;
  }
}

/** Counts the moves that a lease met without getting on: one altered oftener than a batch takes would hold it up for ever, unseen. */
export class Moves {
  #position: Lsn | null = null;
  #count = 0;

  /** A lease begins at this position; another one than before means that the stream got on. */
  begin(position: Lsn): void {
    if (position !== this.#position) this.#count = 0;
    this.#position = position;
  }

  /**
   * @returns milliseconds to wait before the next lease begins; 0 for the first move at a position.
   * @throws MigrationError `Contention` naming the table when there were too many.
   */
  pauseAfter({ table }: CatalogMoved): number {
    this.#count += 1;
    if (this.#count > MOST_MOVES) {
      throw new MigrationError(
        'Contention',
        `${table} is altered on the source again and again, faster than its changes can be applied: the stream stands at ${this.#position ?? 'its start'} until that stops (look for DDL or column statistics that a job sets on ${table})`,
        { table, ...(this.#position === null ? {} : { lsn: this.#position }) },
      );
    }
    return this.#count === 1 ? 0 : FIRST_PAUSE_MS * 2 ** (this.#count - 2);
  }
}
