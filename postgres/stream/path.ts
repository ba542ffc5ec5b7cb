/**
 * The way that a table's lines take. The fast one: bytes into rows (apply/table-rows.ts), which is for tables whose changes have one
 * known form and are found by a key. The exact one, change by change, is for everything else, and for what the fast one refuses: it
 * says what is wrong with a change, and where.
 */
import type { PlannedRelation } from '../apply/change.ts';
import { exposedColumns } from '../apply/exposed.ts';
import { TableRows, type RowLayout } from '../apply/table-rows.ts';
import { BYTEA, EXPOSED, NEVER_NULL, PLAIN, SKIPPED, type ValueKind } from '../wal2json/value.ts';
import type { TableMapping } from './filter.ts';

/** Rows kept for the next batches: one is written while the other is gathered. */
const SPARE = 1;

export class TablePath {
  readonly schema: string;
  readonly table: string;
  /** Null: its changes are left out. */
  readonly mapping: TableMapping | null;
  /** Rows of the batch that is being gathered. */
  rows: TableRows | null = null;
  /** Number of the last batch in which its lines go the exact way: what comes later must not overtake what came before. */
  exactThrough: number;
  /** Serial number of the transaction for which {@link copied} was decided. */
  decidedFor = 0;
  /** Whether the table's copy holds that transaction. */
  copied = false;
  /** Number of the part of a transaction that brought rows last. */
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

  /** Rows to gather into. @throws RangeError for a table that always takes the exact way. */
  use(): TableRows {
    if (this.#layout === null) throw new RangeError('a table without a layout has no rows');
    this.rows ??= this.#spare.pop() ?? new TableRows(this.#layout);
    return this.rows;
  }

  /** The rows are written or given up: they may be used again. */
  release(rows: TableRows): void {
    rows.reset();
    if (this.#spare.length < SPARE) this.#spare.push(rows);
  }
}

/** What the plugin writes for the table; null for a table that always takes the exact way. */
function layoutOf(
  { relation, rowShapes: [rowShape, ...others], bytea }: TableMapping,
  numericAsText: boolean,
): RowLayout | null {
  // Around a DDL a change says by its columns which side it is from; through a root a row may move from one partition to another.
  if (others.length > 0 || rowShape.names.size > 0 || rowShape.fills.length > 0) return null;
  if (relation.destination !== undefined || rowShape.columns.length === 0) return null;
  const key = placesOf(relation, rowShape.columns);
  if (key === null) return null;
  const exposed = numericAsText ? null : exposedColumns(relation);
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

/** Places of the key's columns; empty without a key; null when one of them is missing or computed. */
function placesOf(
  { key }: PlannedRelation,
  columns: readonly { readonly name: string; readonly generated: string }[],
): number[] | null {
  const places = (key ?? []).map((name) =>
    columns.findIndex((column) => column.name === name && column.generated === ''),
  );
  return places.includes(-1) ? null : places.sort((a, b) => a - b);
}
