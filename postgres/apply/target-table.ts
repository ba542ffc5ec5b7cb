/**
 * A table as the target's catalog describes it, and the mapping from a change's cells to columns by position.
 *
 * Types, generated columns, identity columns and indexes are the target's: they decide what may be written and how text is
 * parsed. Read once per session and table: DDL on the target happens while the stream is stopped, and the next attempt uses a new
 * session.
 */
import { MigrationError } from '../../contract/failure.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import type { Cell, PlannedRelation, RowChange } from './change.ts';
import type { Image, PositionedChange } from './fold.ts';

export type Carrier = 'array' | 'text' | 'none';

export interface TargetColumn {
  readonly name: string;
  readonly quoted: string;
  /**
   * The type below all domains, without length or precision: casts to it never cut a value. The assignment to the column enforces
   * length, precision and domain checks, and fails where a cast would silently truncate.
   */
  readonly baseType: string;
  /**
   * The column of row `t`, for comparing with a value of the base type. Polymorphic operators do not accept a domain over an enum
   * as an enum (42883). The cast to the base type changes no value, and indexes remain usable.
   */
  readonly operand: string;
  /** ` collate "schema"."name"`, or empty. Comparing columns of different collations is an error. */
  readonly collate: string;
  readonly generated: boolean;
  /**
   * How many values are sent at once. `array`: as an array of the base type. `text`: as an array of text, each element cast, for
   * arrays and composites, which unnest() would expand. `none`: not at all, because a user-defined cast exists between text and
   * the type.
   */
  readonly carrier: Carrier;
  /** Whether the source has the column: the target may have more. */
  readonly planned: boolean;
  /** GENERATED ALWAYS AS IDENTITY on the target: no UPDATE can write it, though `set … = default` can change it on the source. */
  readonly fixed: boolean;
  /** Equality operator of an index that finds rows by this column alone, or undefined. */
  readonly indexed: string | undefined;
}

/** A key column with its index's equality operator (an extension's operator may not be on the search path). */
export interface KeyColumn {
  readonly position: number;
  readonly equals: string;
}

export class TargetTable {
  /** Small number, unique in the session, for names of staging tables and prepared statements. */
  readonly number: number;
  readonly relation: PlannedRelation;
  /** Quoted schema and name on the target: the same for all partitions whose rows go through one root. */
  readonly qualified: string;
  readonly partitioned: boolean;
  readonly columns: readonly TargetColumn[];
  readonly key: readonly KeyColumn[] | null;
  /** Whether the target has a unique index on the key that lets one statement match each row exactly once. */
  readonly foldable: boolean;
  /** The role whose defaults apply where the table computes something. */
  readonly owner: string;
  readonly #positions: ReadonlyMap<string, number>;

  constructor(
    number: number,
    relation: PlannedRelation,
    partitioned: boolean,
    columns: readonly TargetColumn[],
    key: readonly KeyColumn[] | null,
    foldable: boolean,
    owner: string,
  ) {
    this.number = number;
    this.relation = relation;
    const { schema, name } = destinationOf(relation);
    this.qualified = quoted({ schema, name });
    this.partitioned = partitioned;
    this.columns = columns;
    this.key = key;
    this.foldable = foldable;
    this.owner = owner;
    this.#positions = new Map(columns.map((column, position) => [column.name, position]));
  }

  /**
   * The table for UPDATE and DELETE: with `only`, because a parent's key can also occur in a child table. Without it for a
   * partitioned table, which holds no rows itself.
   */
  get only(): string {
    return this.partitioned ? this.qualified : `only ${this.qualified}`;
  }

  /** Cells by column position. Throws SchemaDrift for a column that the target does not have. */
  image(cells: readonly Cell[]): Image {
    const image = new Array<string | null | undefined>(this.columns.length).fill(undefined);
    for (let index = 0; index < cells.length; index += 1) {
      const cell = cells[index];
      if (cell === undefined) continue;
      // Source and target usually have their columns in the same order.
      const position =
        this.columns[index]?.name === cell.name ? index : this.#positions.get(cell.name);
      if (position === undefined) {
        throw new MigrationError(
          'SchemaDrift',
          `the target table ${nameOf(destinationOf(this.relation))} has no column ${cell.name}`,
          { table: nameOf(this.relation), column: cell.name },
        );
      }
      image[position] = this.#written(position, cell.value);
    }
    return image;
  }

  positioned(change: RowChange): PositionedChange {
    if (change.kind === 'insert') return { kind: 'insert', columns: this.image(change.columns) };
    const identity = this.image(change.identity);
    if (change.kind === 'delete') return { kind: 'delete', identity };
    return { kind: 'update', columns: this.image(change.columns), identity };
  }

  /** wal2json omits the `\x` of bytea; without it the target would parse the digits as the bytes themselves. */
  #written(position: number, value: string | null): string | null {
    if (value === null || this.columns[position]?.baseType !== 'bytea') return value;
    return value.startsWith('\\x') ? value : `\\x${value}`;
  }
}

/** The target table of a relation of the plan. */
export function destinationOf({ schema, name, destination }: PlannedRelation): TableName {
  return destination ?? { schema, name };
}
