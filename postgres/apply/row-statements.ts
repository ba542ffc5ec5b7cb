/**
 * A table's remaining changes (table-rows.ts) as statements of a flight: deletes, then updates, then inserts, in the order of
 * net-effect-writer.ts and for its reasons. Inserts use COPY. Updates and deletes join with arrays of values: in a small batch
 * a staging table would cost a millisecond more. Each statement has the number of rows that it must hit.
 */
import type { Flight } from '../session/flight.ts';
import type { RowLayout } from './row-layout.ts';
import { DELETE, INSERT, UPDATE, type RowGroup, type RowKind } from './row-records.ts';
import type { TableRows } from './table-rows.ts';
import type { TargetColumn, TargetTable } from './target-table.ts';
import { arraysSize, writeArray } from './array-parameter.ts';
import { SKIPPED } from '../wal2json/value.ts';

interface Column extends TargetColumn {
  /** Index in the layout. */
  readonly place: number;
}

/** An update of one group. */
interface Updating {
  readonly sql: string;
  /** Layout indexes, in the order of the parameters. */
  readonly places: readonly number[];
}

export class RowStatements {
  readonly #table: TargetTable;
  readonly #layout: RowLayout;
  /** By index in the layout; undefined for columns that are not written. */
  readonly #columns: readonly (Column | undefined)[];
  readonly #key: readonly { readonly column: Column; readonly equals: string }[];
  /** By group; dropped together with its rows. */
  readonly #updates = new WeakMap<RowGroup, Updating | null>();
  readonly #inserts = new WeakMap<RowGroup, string>();
  readonly #delete: string;
  #cursors = new Int32Array(256);

  private constructor(
    table: TargetTable,
    layout: RowLayout,
    columns: readonly (Column | undefined)[],
    key: readonly { readonly column: Column; readonly equals: string }[],
  ) {
    this.#table = table;
    this.#layout = layout;
    this.#columns = columns;
    this.#key = key;
    const from = this.#arrays(key.map(({ column }) => column));
    this.#delete = `delete from ${table.only} t using ${from} where ${this.#joined()}`;
  }

  /** @returns null for a table whose rows cannot be found or written this way. */
  static of(table: TargetTable, layout: RowLayout): RowStatements | null {
    const columns = layout.names.map((name, place): Column | undefined => {
      const column = table.columns.find((one) => one.name === name);
      return column === undefined || column.generated ? undefined : { ...column, place };
    });
    // The written columns must be exactly those that the target accepts.
    if (
      columns.some((column, place) => (column === undefined) !== (layout.kinds[place] === SKIPPED))
    ) {
      return null;
    }
    if (layout.key.length === 0) return new RowStatements(table, layout, columns, []);
    if (!table.foldable || table.key === null) return null;
    const key = layout.key.map((place) => {
      const column = columns[place];
      const found = table.key?.find(
        ({ position }) => table.columns[position]?.name === column?.name,
      );
      return column === undefined || found === undefined || column.carrier === 'none'
        ? undefined
        : { column, equals: found.equals };
    });
    const whole = key.filter((one) => one !== undefined);
    if (whole.length !== table.key.length || key.length !== whole.length) return null;
    return new RowStatements(table, layout, columns, whole);
  }

  /** Whether every remaining update can be written this way. */
  fits(rows: TableRows): boolean {
    return this.#groupsOf(rows, UPDATE).every((at) => this.#update(rows, at) !== null);
  }

  /**
   * Adds the statements for all remaining changes; the rows must {@link fits}.
   * @param expect called with the number of rows that each statement must hit, in the flight's order.
   */
  add(flight: Flight, rows: TableRows, expect: (rows: number) => void): void {
    const deletes = rows.live[DELETE] ?? 0;
    if (deletes > 0) {
      this.#bindKeys(flight, rows, deletes);
      expect(deletes);
    }
    for (const at of this.#groupsOf(rows, UPDATE)) {
      const how = this.#update(rows, at);
      if (how === null) throw new RangeError('an update cannot be applied as a set');
      expect(this.#bindRows(flight, rows, at, how));
    }
    for (const at of this.#groupsOf(rows, INSERT)) expect(this.#copy(flight, rows, at));
  }

  #groupsOf(rows: TableRows, kind: RowKind): number[] {
    if ((rows.live[kind] ?? 0) === 0) return [];
    if (rows.groups.length === 1) return [0];
    const found = new Set<number>();
    for (let row = 0; row < rows.count; row += 1) {
      if (rows.kind[row] === kind) found.add(rows.group[row] ?? 0);
    }
    return [...found];
  }

  #arrays(columns: readonly Column[]): string {
    // Schema-qualified: the application's search path may contain an unnest() of exactly this type.
    const arrays = columns.map(
      ({ baseType, carrier }, i) =>
        `pg_catalog.unnest($${i + 1}::${carrier === 'text' ? 'text' : baseType}[])`,
    );
    const names = columns.map(({ place }) => `c${place}`).join(', ');
    return `rows from (${arrays.join(', ')}) as s (${names})`;
  }

  #joined(): string {
    return this.#key
      .map(
        ({ column, equals }) => `${column.operand} ${equals} ${valueOf(column)}${column.collate}`,
      )
      .join(' and ');
  }

  /** Null for a group that must be applied row by row. */
  #update(rows: TableRows, at: number): Updating | null {
    const group = rows.groups[at];
    if (group === undefined) return null;
    const known = this.#updates.get(group);
    if (known !== undefined) return known;
    const key = new Set(this.#layout.key);
    const sent = this.#columns.filter(
      (column) => column !== undefined && group.present[column.place] === 1,
    ) as Column[];
    const others = sent.filter(({ place }) => !key.has(place));
    const set = others.filter(({ fixed }) => !fixed);
    const fixed = others.filter((column) => column.fixed);
    let how: Updating | null = null;
    if (others.every(({ carrier }) => carrier !== 'none')) {
      const columns = sent;
      const where = [
        this.#joined(),
        // No UPDATE can write them: a row whose identity value differs is replayed.
        ...fixed.map((column) => `t.${column.quoted} = ${valueOf(column)}`),
      ];
      const sets = set.map((column) => `${column.quoted} = ${valueOf(column)}`).join(', ');
      const rest = `${this.#arrays(columns)} where ${where.join(' and ')}`;
      // An update that changes nothing must still find its row.
      how = {
        sql:
          set.length > 0
            ? `update ${this.#table.only} t set ${sets} from ${rest}`
            : `select from ${this.#table.only} t, ${rest}`,
        places: columns.map(({ place }) => place),
      };
    }
    this.#updates.set(group, how);
    return how;
  }

  #insert(group: RowGroup): string {
    let sql = this.#inserts.get(group);
    if (sql === undefined) {
      const names = this.#columns
        .filter((column) => column !== undefined && group.present[column.place] === 1)
        .map((column) => column?.quoted);
      sql = `copy ${this.#table.qualified} (${names.join(', ')}) from stdin`;
      this.#inserts.set(group, sql);
    }
    return sql;
  }

  #copy(flight: Flight, rows: TableRows, at: number): number {
    const group = rows.groups[at];
    if (group === undefined) return 0;
    flight.run(this.#insert(group));
    const { bytes } = group;
    const [live = 0, all] = [rows.live[INSERT], rows.count];
    if (!rows.mixed && live === all && rows.groups.length === 1) {
      flight.copyData(bytes, 0, group.used);
      flight.copyDone();
      return live;
    }
    let count = 0;
    // Adjacent rows are sent as one piece.
    let from = 0;
    let to = 0;
    for (let row = 0; row < all; row += 1) {
      if (rows.kind[row] !== INSERT || rows.group[row] !== at) continue;
      count += 1;
      const start = rows.from[row] ?? 0;
      if (start !== to) {
        if (to > from) flight.copyData(bytes, from, to);
        from = start;
      }
      to = rows.to[row] ?? 0;
    }
    if (to > from) flight.copyData(bytes, from, to);
    flight.copyDone();
    return count;
  }

  #bindKeys(flight: Flight, rows: TableRows, count: number): void {
    const cursors = this.#room(count);
    let n = 0;
    let bytes = 0;
    for (let row = 0; row < rows.count; row += 1) {
      if (rows.kind[row] !== DELETE) continue;
      cursors[n++] = rows.keyFrom[row] ?? 0;
      bytes += (rows.keyTo[row] ?? 0) - (rows.keyFrom[row] ?? 0);
    }
    const columns = this.#key.length;
    const message = flight.bind(this.#delete, columns, arraysSize(bytes, count, columns));
    for (let column = 0; column < columns; column += 1) {
      writeArray(flight, rows.keys, cursors, n);
    }
    flight.execute(message);
  }

  #bindRows(flight: Flight, rows: TableRows, at: number, { sql, places }: Updating): number {
    const group = rows.groups[at];
    if (group === undefined) return 0;
    const cursors = this.#room(rows.live[UPDATE] ?? 0);
    let n = 0;
    let bytes = 0;
    for (let row = 0; row < rows.count; row += 1) {
      if (rows.kind[row] !== UPDATE || rows.group[row] !== at) continue;
      cursors[n++] = rows.from[row] ?? 0;
      bytes += (rows.to[row] ?? 0) - (rows.from[row] ?? 0);
    }
    const message = flight.bind(sql, places.length, arraysSize(bytes, n, places.length));
    for (let column = 0; column < places.length; column += 1) {
      writeArray(flight, group.bytes, cursors, n);
    }
    flight.execute(message);
    return n;
  }

  #room(rows: number): Int32Array {
    if (this.#cursors.length < rows) this.#cursors = new Int32Array(rows * 2);
    return this.#cursors;
  }
}

/** A value of the arrays, as the base type. */
function valueOf({ place, carrier, baseType }: Column): string {
  return carrier === 'text' ? `s.c${place}::${baseType}` : `s.c${place}`;
}
