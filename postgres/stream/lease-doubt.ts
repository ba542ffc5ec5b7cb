/** The doubt of a lease about the names of schemas, with what of it outlives the lease: see drift/renamed-schema-change.ts. */
import type pg from 'pg';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { readNamed, sameRows, type SchemaRows } from '../catalog/schema-row.ts';
import { parseSnapshot } from '../catalog/visibility.ts';
import { Doubt } from '../drift/renamed-schema-change.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import {
  readDoubtedBefore,
  readRecordedSchemas,
  recordDoubt,
  recordSchemas,
} from '../store/recorded-schema.ts';

/** Runs a write on the target in a transaction that only the newest attempt can commit. */
type Fenced = (write: () => Promise<void>) => Promise<void>;

interface Sessions {
  readonly source: pg.ClientBase;
  readonly target: pg.ClientBase;
}

/** Transactions of the source, read after its catalog. */
type Running = ReturnType<typeof parseSnapshot>;

export class LeaseDoubt {
  readonly doubt: Doubt<PlannedRelationRow>;
  readonly #target: pg.ClientBase;
  readonly #migration: Migration;
  readonly #recorded: SchemaRows | null;
  readonly #rows: SchemaRows;
  readonly #running: Running | null;
  #settledAt: Lsn | null = null;

  private constructor(
    target: pg.ClientBase,
    migration: Migration,
    { recorded, rows, running, doubt }: Found,
  ) {
    this.#target = target;
    this.#migration = migration;
    this.#recorded = recorded;
    this.#rows = rows;
    this.#running = running;
    this.doubt = doubt;
  }

  /** @param rows the schemas, read before the drift check. */
  static async read(
    { source, target }: Sessions,
    migration: Migration,
    rows: SchemaRows,
    tables: readonly PlannedRelationRow[],
  ): Promise<LeaseDoubt> {
    const recorded = await readRecordedSchemas(target, migration);
    const ordinary = tables.filter(({ kind }) => kind === 'r');
    const doubt = new Doubt(recorded, rows, ordinary);
    if (doubt.any) doubt.rivals(await readNamed(source, doubt.wanted));
    const running = doubt.any ? await readRunning(source) : null;
    return new LeaseDoubt(target, migration, { recorded, rows, running, doubt });
  }

  /** Whether the doubt is over once the stream has passed the mark; not while a transaction is open that may have an old name. */
  get settles(): boolean {
    return this.#settledAt !== null;
  }

  /** @param mark a position written after the catalog was read; required while anything is in doubt. */
  async begin(mark: Lsn | null, fenced: Fenced): Promise<void> {
    const [target, migration, rows] = [this.#target, this.#migration, this.#rows];
    if (this.#running === null) {
      // Without a suspicion, no planned table had another name, whatever happened to other schemas.
      const isKnown = this.#recorded !== null && sameRows(this.#recorded, rows);
      if (!isKnown) await fenced(() => recordSchemas(target, migration, rows));
      return;
    }
    const { xmin, xmax } = this.#running;
    const earlier = await readDoubtedBefore(target, migration, rows);
    if (earlier === null) await fenced(() => recordDoubt(target, migration, rows, xmax));
    const before = earlier ?? xmax;
    this.doubt.until(before);
    // All of them have ended before the mark was written.
    if (xmin >= before) this.#settledAt = mark;
  }

  /** @param stored the position that the target has stored at the end of the lease. */
  async passed(stored: Lsn, fenced: Fenced): Promise<void> {
    if (this.#settledAt === null || compareLsn(stored, this.#settledAt) < 0) return;
    await fenced(() => recordSchemas(this.#target, this.#migration, this.#rows));
  }
}

interface Found {
  readonly recorded: SchemaRows | null;
  readonly rows: SchemaRows;
  readonly running: Running | null;
  readonly doubt: Doubt<PlannedRelationRow>;
}

async function readRunning(source: pg.ClientBase): Promise<Running> {
  const { rows } = await source.query<{ running: string }>(
    /* sql */ `select pg_catalog.pg_current_snapshot()::text as running`,
  );
  return parseSnapshot(rows[0]?.running ?? '');
}
