/**
 * The path of a table's lines. The fast path converts bytes to rows (apply/table-rows.ts); it is for tables whose changes have
 * one known row shape and a key. The exact path, change by change, is for everything else and for what the fast path refuses: it
 * reports what is wrong with a change, and where.
 */
import type { PlannedRelation } from '../apply/change.ts';
import { nonFiniteColumns } from '../apply/non-finite-column.ts';
import type { RowLayout } from '../apply/row-layout.ts';
import { TableRows } from '../apply/table-rows.ts';
import { BYTEA, EXPOSED, NEVER_NULL, PLAIN, SKIPPED, type ValueKind } from '../wal2json/value.ts';
import type { TableMapping } from '../drift/table-mapping.ts';

/** Batches for which a table stays on the exact path after the target refused its rows: each refusal means a second apply. */
const AFTER_REFUSAL = 20;

/** Row buffers kept for the next batches: one is written while the other is filled. */
const SPARE = 1;

export class TablePath {
  readonly schema: string;
  readonly table: string;
  /** Null: its changes are excluded. */
  readonly mapping: TableMapping | null;
  /** Rows of the current batch. */
  rows: TableRows | null = null;
  /** Number of the last batch in which its lines take the exact path: later changes must not overtake earlier ones. */
  exactThrough: number;
  /** Serial number of the transaction for which {@link copied} was decided. */
  decidedFor = 0;
  /** Whether the table's copy includes that transaction. */
  copied = false;
  /** Number of the last part of a transaction that had rows of the table. */
  usedFor = 0;
  readonly #layout: RowLayout | null;
  readonly #spare: TableRows[] = [];

  constructor(schema: string, table: string, mapping: TableMapping | null, numericAsText: boolean) {
    this.schema = schema;
    this.table = table;
    this.mapping = mapping;
    this.#layout = mapping === null ? null : layoutOf(mapping, numericAsText);
    this.exactThrough = this.#layout === null ? Infinity : 0;
  }

  /** The row buffer of the current batch. @throws RangeError for a table that always takes the exact path. */
  use(): TableRows {
    if (this.#layout === null) throw new RangeError('a table without a layout has no rows');
    this.rows ??= this.#spare.pop() ?? new TableRows(this.#layout);
    return this.rows;
  }

  /** The target refused the rows of a batch. @param forGood whether it always will. */
  refused(forGood: boolean, batch: number): void {
    this.exactThrough = forGood ? Infinity : batch + AFTER_REFUSAL;
  }

  /** The rows are written or discarded: the buffer can be reused. */
  release(rows: TableRows): void {
    rows.reset();
    if (this.#spare.length < SPARE) this.#spare.push(rows);
  }
}

/** What the plugin prints for the table; null for a table that always takes the exact path. */
function layoutOf(
  { relation, rowShapes: [rowShape, ...others], bytea }: TableMapping,
  numericAsText: boolean,
): RowLayout | null {
  // Around a DDL, only a change's columns show whether it is from before or after; via root, a row may move between partitions.
  if (others.length > 0 || rowShape.names.size > 0 || rowShape.fills.length > 0) return null;
  if (relation.destination !== undefined || rowShape.columns.length === 0) return null;
  const key = placesOf(relation, rowShape.columns);
  if (key === null) return null;
  const exposed = numericAsText ? null : nonFiniteColumns(relation);
  const kindOf = (name: string, generated: string): ValueKind => {
    if (generated !== '') return SKIPPED;
    if (bytea.has(name)) return BYTEA;
    const column = exposed?.get(name);
    if (column === undefined) return PLAIN;
    return column.notNull || key.length === 0 ? NEVER_NULL : EXPOSED;
  };
  return {
    heads: rowShape.columns.map(({ name }) =>
      Buffer.from(`{"name":${JSON.stringify(name)},"value":`),
    ),
    names: rowShape.columns.map(({ name }) => name),
    kinds: rowShape.columns.map(({ name, generated }) => kindOf(name, generated)),
    varying: rowShape.columns.map(({ varying }) => varying),
    key,
  };
}

/** Indexes of the key's columns; empty without a key; null when one of them is missing or generated. */
function placesOf(
  { key }: PlannedRelation,
  columns: readonly { readonly name: string; readonly generated: string }[],
): number[] | null {
  const places = (key ?? []).map((name) =>
    columns.findIndex((column) => column.name === name && column.generated === ''),
  );
  return places.includes(-1) ? null : places.sort((a, b) => a - b);
}
