/** The doubt of a lease about the names of schemas, with what of it outlives the lease: see drift/renamed-schema-change.ts. */
import type pg from 'pg';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { readNamed, sameRows, sameTables, type SchemaRows } from '../catalog/schema-row.ts';
import { untilEnded } from '../catalog/transaction-wait.ts';
import { Doubt } from '../drift/renamed-schema-change.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import {
  readDoubted,
  readRecordedSchemas,
  recordDoubted,
  recordSchemas,
  type DoubtedRows,
} from '../store/recorded-schema.ts';
import { markTransaction } from './end-mark.ts';

/** Runs a write on the target in a transaction that only the newest attempt can commit. */
type Fenced = (write: () => Promise<void>) => Promise<void>;

interface Sessions {
  readonly source: pg.ClientBase;
  readonly target: pg.ClientBase;
}

/** A busy source always has open transactions, and most end at once: without a wait, a GRANT would occupy a whole lease. */
const MOST_WAIT_MS = 1_000;

export class LeaseDoubt {
  readonly doubt: Doubt<PlannedRelationRow>;
  readonly #sessions: Sessions;
  readonly #migration: Migration;
  readonly #recorded: SchemaRows | null;
  readonly #rows: SchemaRows;
  #doubted: DoubtedRows | null = null;

  private constructor(
    sessions: Sessions,
    migration: Migration,
    recorded: SchemaRows | null,
    rows: SchemaRows,
    tables: readonly PlannedRelationRow[],
  ) {
    this.#sessions = sessions;
    this.#migration = migration;
    this.#recorded = recorded;
    this.#rows = rows;
    const ordinary = tables.filter(({ kind }) => kind === 'r');
    this.doubt = new Doubt(recorded, rows, ordinary);
  }

  /** @param rows the schemas, read before the drift check. */
  static async read(
    sessions: Sessions,
    migration: Migration,
    rows: SchemaRows,
    tables: readonly PlannedRelationRow[],
  ): Promise<LeaseDoubt> {
    const recorded = await readRecordedSchemas(sessions.target, migration);
    const lease = new LeaseDoubt(sessions, migration, recorded, rows, tables);
    if (lease.doubt.any) lease.doubt.rivals(await readNamed(sessions.source, lease.doubt.wanted));
    return lease;
  }

  /** Whether the doubt is over once the stream has passed the lease's mark; not while a transaction is open that may have an old name. */
  get settles(): boolean {
    return this.#doubted !== null && this.#doubted.until !== null;
  }

  /**
   * @param writeMark writes the lease's mark.
   * @returns the mark, or null when nothing needs one.
   */
  async begin(fenced: Fenced, writeMark: () => Promise<Lsn | null>): Promise<Lsn | null> {
    const { source, target } = this.#sessions;
    const [migration, rows] = [this.#migration, this.#rows];
    if (!this.doubt.any) {
      const mark = await writeMark();
      // Without a suspicion, no planned table had another name, whatever happened to other schemas.
      const recorded = this.#recorded;
      const isKnown = recorded !== null && sameRows(recorded, rows) && sameTables(recorded, rows);
      if (!isKnown) await fenced(() => recordSchemas(target, migration, rows));
      return mark;
    }
    const earlier = await readDoubted(target, migration, rows);
    // An id of its own: a snapshot's xmax may be the id of a transaction that is open (docs/explanation/facts.md).
    const before = earlier?.before ?? (await markTransaction(source, migration, 'local')).xid;
    const ended = earlier?.until != null || (await untilEnded(source, before, MOST_WAIT_MS));
    // After they have ended, so that their commits precede it.
    const mark = await writeMark();
    this.#doubted = { before, until: earlier?.until ?? (ended ? mark : null) };
    if (earlier === null || earlier.until !== this.#doubted.until) {
      const doubted = this.#doubted;
      await fenced(() => recordDoubted(target, migration, rows, doubted));
    }
    this.doubt.until(before);
    return mark;
  }

  /** @param stored the position that the target has stored at the end of the lease. */
  async passed(stored: Lsn, fenced: Fenced): Promise<void> {
    const until = this.#doubted?.until ?? null;
    if (until === null || compareLsn(stored, until) < 0) return;
    await fenced(() => recordSchemas(this.#sessions.target, this.#migration, this.#rows));
  }
}
