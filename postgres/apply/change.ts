/**
 * What the stream passes to the applier: changes of committed source transactions, in commit order, with values as the text that
 * the source printed. Absent is not null: a column missing from `columns` is unchanged and is not written.
 *
 * Values are as wal2json sent them, decoded: 't'/'f' for booleans, numbers verbatim, bytea as hexadecimal digits with or without
 * the leading `\x` (the applier adds it according to the target's column type).
 */
import type { Lsn } from '../../contract/lsn.ts';
import type { TableName } from '../catalog/selection.ts';

export interface Cell {
  readonly name: string;
  readonly value: string | null;
}

/** A column as the source's catalog describes it. */
export interface PlannedColumn {
  readonly name: string;
  /** `format_type` on the source, for casts there. The target's types are read from the target. */
  readonly typeName: string;
  /** The type below all domains, as `format_type(oid, null)` prints it: `numeric`, `double precision`, `bytea`. */
  readonly baseTypeName: string;
  readonly notNull: boolean;
  readonly generated: boolean;
  readonly identity: '' | 'a' | 'd';
}

/** A table of the plan. The applier identifies it by schema and name; pass one object per table and lease. */
export interface PlannedRelation {
  readonly schema: string;
  readonly name: string;
  /**
   * Columns of a unique index of the source that identifies a row: valid, immediate, not partial, without expressions, on NOT
   * NULL columns, and contained in the `identity` of every change. Null: rows are matched by all their columns.
   */
  readonly key: readonly string[] | null;
  readonly columns: readonly PlannedColumn[];
  /** REPLICA IDENTITY FULL: `identity` holds every column of the old row. */
  readonly full: boolean;
  /** The target table, when its name differs: the root that a partition's rows go through. */
  readonly destination?: TableName;
  /** With `destination`: a condition that matches exactly the rows of this partition. */
  readonly bounds?: string;
}

interface Origin {
  /** Commit LSN of the source transaction, for messages. */
  readonly lsn: Lsn;
  /** 32-bit id of the source's top-level transaction, as wal2json prints it; null when unknown. */
  readonly xid: number | null;
}

export interface Insert extends Origin {
  readonly kind: 'insert';
  readonly relation: PlannedRelation;
  readonly columns: readonly Cell[];
}

export interface Update extends Origin {
  readonly kind: 'update';
  readonly relation: PlannedRelation;
  readonly columns: readonly Cell[];
  /** The old key, or the whole old row with REPLICA IDENTITY FULL. */
  readonly identity: readonly Cell[];
}

export interface Delete extends Origin {
  readonly kind: 'delete';
  readonly relation: PlannedRelation;
  readonly identity: readonly Cell[];
}

/**
 * One TRUNCATE statement with all its tables, because foreign keys between them allow no other way. A partition with another
 * destination is emptied by its bounds; when the statement names its root, only the root is listed.
 */
export interface Truncate extends Origin {
  readonly kind: 'truncate';
  readonly relations: readonly PlannedRelation[];
}

/** A change of one row. */
export type RowChange = Insert | Update | Delete;

export type Change = RowChange | Truncate;
