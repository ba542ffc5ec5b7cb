/** The doubt of a lease about the names of schemas, with what of it outlives the lease: see drift/renamed-schema-change.ts. */
import type pg from 'pg';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { readNamed, sameRows, type SchemaRows } from '../catalog/schema-row.ts';
import { Doubt } from '../drift/renamed-schema-change.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import {
  readDoubtedUntil,
  readRecordedSchemas,
  recordDoubt,
  recordSchemas,
} from '../store/recorded-schema.ts';

/** Runs a write on the target in a transaction that only the newest attempt can commit. */
type Fenced = (write: () => Promise<void>) => Promise<void>;

export class LeaseDoubt {
  readonly doubt: Doubt<PlannedRelationRow>;
  readonly #target: pg.ClientBase;
  readonly #migration: Migration;
  readonly #recorded: SchemaRows | null;
  readonly #rows: SchemaRows;
  #until: Lsn | null = null;

  private constructor(
    target: pg.ClientBase,
    migration: Migration,
    recorded: SchemaRows | null,
    rows: SchemaRows,
    tables: readonly PlannedRelationRow[],
  ) {
    this.#target = target;
    this.#migration = migration;
    this.#recorded = recorded;
    this.#rows = rows;
    const ordinary = tables.filter(({ kind }) => kind === 'r');
    this.doubt = new Doubt(recorded, rows, ordinary);
  }

  /** @param rows the schemas, read before the drift check. */
  static async read(
    { source, target }: { readonly source: pg.ClientBase; readonly target: pg.ClientBase },
    migration: Migration,
    rows: SchemaRows,
    tables: readonly PlannedRelationRow[],
  ): Promise<LeaseDoubt> {
    const recorded = await readRecordedSchemas(target, migration);
    const found = new LeaseDoubt(target, migration, recorded, rows, tables);
    if (found.doubt.any) found.doubt.rivals(await readNamed(source, found.doubt.wanted));
    return found;
  }

  /** @param mark a position written after the catalog was read; required while anything is in doubt. */
  async begin(mark: Lsn | null, fenced: Fenced): Promise<void> {
    const [target, migration, rows] = [this.#target, this.#migration, this.#rows];
    if (!this.doubt.any) {
      // Without a suspicion, no planned table had another name, whatever happened to other schemas.
      const isKnown = this.#recorded !== null && sameRows(this.#recorded, rows);
      if (!isKnown) await fenced(() => recordSchemas(target, migration, rows));
      return;
    }
    this.#until = await readDoubtedUntil(target, migration, rows);
    if (this.#until === null && mark !== null) {
      this.#until = mark;
      await fenced(() => recordDoubt(target, migration, rows, mark));
    }
    this.doubt.until(this.#until);
  }

  /** @param stored the position that the target has stored at the end of the lease. */
  async passed(stored: Lsn, fenced: Fenced): Promise<void> {
    if (this.#until === null || compareLsn(stored, this.#until) < 0) return;
    await fenced(() => recordSchemas(this.#target, this.#migration, this.#rows));
  }
}
