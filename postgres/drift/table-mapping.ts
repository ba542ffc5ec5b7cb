/** How changes of each source table reach the target, and which names are excluded; pure. */
import type { Lsn } from '../../contract/lsn.ts';
import type { PlannedRelation } from '../apply/change.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Disguised } from '../catalog/binary-coercible-type.ts';
import type { RowMessage } from '../wal2json/message.ts';
import { shapeMismatch, type RowShape } from './row-shape.ts';

/** How changes of one source table reach the target. */
export interface TableMapping {
  readonly relation: PlannedRelation;
  /** The same for changes from before replica identity FULL was set or removed; null: none can arrive. */
  readonly before: PlannedRelation | null;
  /** Row shapes of its changes, oldest first: usually one, two around a DDL that the target already has. */
  readonly rowShapes: readonly [RowShape, ...RowShape[]];
  /** Columns whose values arrive as hexadecimal digits without the `\x` that the input function needs. */
  readonly bytea: ReadonlySet<string>;
  /** Interval columns, if the target would read some values as infinite; otherwise empty. */
  readonly intervals: ReadonlySet<string>;
  /** Columns that may have had another type for a time; nearly always empty. */
  readonly disguised: Disguised;
  /** Whether the table's copy includes the transaction (32-bit top-level id) that committed at this position. */
  readonly copied: (xid: number, commitLsn: Lsn) => boolean;
}

/** A table that is not in the plan, or a change with a shape mismatch: the caller finds out what happened. */
export interface Unsettled {
  readonly schema: string;
  readonly table: string;
  readonly commitLsn: Lsn;
  /** 32 bits, the top-level transaction. */
  readonly xid: number;
  /** How the change deviates; unset for a table without a mapping. */
  readonly shapeMismatch?: string;
}

/** A name whose changes are excluded, and its fingerprint when that was decided; null: there was no such table. */
export interface Left extends TableName {
  readonly fingerprint: string | null;
}

/** Table mappings by schema and table; null for tables whose changes are excluded on purpose. */
export class TableMappings {
  readonly #byName = new Map<string, TableMapping | null>();
  readonly #left = new Map<string, Left>();
  /** Names of {@link #left} with a change since the last call. */
  #met = new Map<string, Left>();
  /** How many row shapes of a table are past: after the first change of a newer shape, none of an older one can arrive. */
  #behind = new Map<TableMapping, number>();

  set(schema: string, table: string, mapping: TableMapping): void {
    this.#byName.set(key(schema, table), mapping);
  }

  /** Excludes changes of this name, as long as its fingerprint stays the same. */
  leave(left: Left): void {
    const name = key(left.schema, left.name);
    this.#byName.set(name, null);
    this.#left.set(name, left);
  }

  /** How many names are excluded. */
  get leftOut(): number {
    return this.#left.size;
  }

  /** Notes that a change was excluded. */
  meet(schema: string, table: string): void {
    const name = key(schema, table);
    const left = this.#left.get(name);
    if (left) this.#met.set(name, left);
  }

  /** Names with excluded changes since the last call: another table may have got one of these names. */
  takeMet(): Left[] {
    const met = [...this.#met.values()];
    this.#met = new Map();
    return met;
  }

  get(schema: string, table: string): TableMapping | null | undefined {
    return this.#byName.get(key(schema, table));
  }

  /** @returns a function that resets the row shapes met since this call, and returns its argument. */
  remember(): <T>(outcome: T) => T {
    const behind = new Map(this.#behind);
    return (outcome) => {
      this.#behind = behind;
      return outcome;
    };
  }

  /** The row shape that the change fits, or why it fits none. */
  rowShapeOf(mapping: TableMapping, message: RowMessage): RowShape | string {
    const behind = this.#behind.get(mapping) ?? 0;
    let why = '';
    for (let at = behind; at < mapping.rowShapes.length; at += 1) {
      const rowShape = mapping.rowShapes[at];
      if (rowShape === undefined) break;
      const mismatch = shapeMismatch(message, rowShape);
      if (mismatch === null) {
        if (at > behind) this.#behind.set(mapping, at);
        return rowShape;
      }
      why ||= mismatch;
    }
    return why;
  }
}

function key(schema: string, table: string): string {
  return `${schema}\u0000${table}`;
}
