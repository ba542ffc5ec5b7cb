/** Tables that pg_dump has to lock together (leaves.ts), when those are more than may be locked at once. */
import { MigrationError } from '../../contract/failure.ts';
import { entriesOf, type LockTable } from '../catalog/capacity.ts';
import { OUT_OF_LOCKS } from './dump.ts';

export interface Together {
  readonly tables: number;
  /** Tables of the database. */
  readonly all: number;
  /** What `max_locks_per_transaction` of the source should be. */
  readonly setting: number;
}

/** For messages. */
export function describeTogether({ tables, all }: Together): string {
  return `pg_dump locks ${tables} of ${all} tables at once, because partitions, inheritance children, and tables that views or functions depend on are dumped together`;
}

/** What an operator does about them. */
export function raiseSetting({ setting }: Together): string {
  return `on the source: alter system set max_locks_per_transaction = ${setting}; then restart the server`;
}

/** A server has more entries than its settings promise: what other parts of the shared memory leave over. Never twice as many. */
export function isHopeless(locks: number, table: LockTable): boolean {
  return locks > 2 * entriesOf(table);
}

/** They did not fit. */
export class OutOfLocks extends MigrationError {
  readonly together: Together;

  constructor(together: Together, cause?: unknown) {
    super(
      'SchemaFailed',
      `pg_dump: ${OUT_OF_LOCKS}: ${describeTogether(together)}; ${raiseSetting(together)}`,
      { sqlstate: '53200' },
      cause,
    );
    this.together = together;
  }
}
