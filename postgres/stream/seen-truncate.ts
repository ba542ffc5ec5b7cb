/**
 * TRUNCATEs in the stream, for tables whose new file has no other explanation (catalog/table-file.ts). If the transaction that created
 * the file ran such a TRUNCATE, with little before it, the file holds only rows that the stream delivers after it.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { fileOf, isReplaced } from '../catalog/table-file.ts';
import { readDefinitions } from '../catalog/table-definition.ts';
import type { PlannedDefinition } from '../store/planned-definition.ts';
import { readPlannedRelations } from '../store/planned-relation.ts';

export class SeenTruncates {
  readonly #seen = new Map<string, Set<string>>();

  /** Whether any arrived. */
  get any(): boolean {
    return this.#seen.size > 0;
  }

  /** A TRUNCATE of the table by this transaction (32-bit top-level id) arrived. */
  met(table: string, xid: number): void {
    const xids = this.#seen.get(table) ?? new Set();
    this.#seen.set(table, xids.add(String(xid)));
  }

  /** Whether a TRUNCATE of the table by this transaction arrived. */
  has(table: string, xid: string | null | undefined): boolean {
    return xid != null && this.#seen.get(table)?.has(xid) === true;
  }

  /** Whether a TRUNCATE by one of these transactions arrived. */
  within(xids: ReadonlySet<number>): boolean {
    return [...this.#seen.values()].some((seen) => [...xids].some((xid) => seen.has(String(xid))));
  }

  /**
   * The table definitions to store: of planned tables whose new file is now explained.
   * @param nameOf returns the names that {@link met} got.
   * @param xids only TRUNCATEs by these transactions; unset: by any.
   */
  async definitions(
    source: pg.ClientBase,
    target: pg.ClientBase,
    migration: Migration,
    nameOf: (table: { readonly schema: string; readonly name: string }) => string,
    xids?: ReadonlySet<number>,
  ): Promise<Map<number, PlannedDefinition>> {
    if (this.#seen.size === 0) return new Map();
    const rows = (await readPlannedRelations(target, migration)).filter((row) =>
      this.#seen.has(nameOf(row)),
    );
    const definitions = await readDefinitions(
      source,
      rows.map(({ oid }) => oid),
    );
    return new Map(
      rows.flatMap((row) => {
        const [before, now] = [row.definition, definitions.get(row.oid)];
        if (!before || !now || !isReplaced(before.source, now)) return [];
        if (!this.has(nameOf(row), now.emptiedBy)) return [];
        if (xids && !xids.has(Number(now.emptiedBy))) return [];
        // Other differences of the table are handled elsewhere.
        return [[row.id, { ...before, source: { ...before.source, ...fileOf(now) } }] as const];
      }),
    );
  }
}
