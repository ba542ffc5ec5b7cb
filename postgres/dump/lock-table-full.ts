/** Tables that pg_dump has to lock together (separable-table.ts), when these are more than can be locked at once. */
import { MigrationError } from '../../contract/failure.ts';
import { entriesOf, type LockTable } from '../catalog/lock-capacity.ts';
import { OUT_OF_LOCKS } from './pg-dump.ts';

export interface Together {
  readonly tables: number;
  /** Number of tables of the database. */
  readonly all: number;
  /** The required `max_locks_per_transaction` of the source. */
  readonly setting: number;
}

/** Text for messages. */
export function describeTogether({ tables, all }: Together): string {
  return `pg_dump locks ${tables} of ${all} tables at once, because partitions, inheritance children, and tables that views or functions depend on are dumped together`;
}

/** What the operator has to do on the source. */
export function raiseSetting({ setting }: Together): string {
  return `alter system set max_locks_per_transaction = ${setting}; then restart the server`;
}

/** A server has more entries than its settings promise, because it uses spare shared memory, but never twice as many. */
export function isHopeless(locks: number, table: LockTable): boolean {
  return locks > 2 * entriesOf(table);
}

/** The tables did not fit into the source's lock table. */
export class OutOfLocks extends MigrationError {
  readonly together: Together;

  constructor(together: Together, cause?: unknown) {
    super(
      'SchemaFailed',
      `pg_dump: ${OUT_OF_LOCKS}: ${describeTogether(together)}; on the source: ${raiseSetting(together)}`,
      { sqlstate: '53200' },
      cause,
    );
    this.together = together;
  }
}
