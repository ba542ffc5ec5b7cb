/** A table as its catalog describes it: its size, its columns, and the key by which a change finds its row. */
import type { Collation } from './collation.ts';
import type { TableName } from './selection.ts';
import type { TypeGraph } from './type-graph.ts';

/** The root that a table's rows go through; the root's own entry names itself. */
export interface ViaRoot extends TableName {
  readonly oid: number;
  /**
   * Whether the table was created as a partition in its current place, under its current name: then all its rows came through
   * changes of this name. A table that was attached later may have other rows.
   */
  readonly bornInPlace: boolean;
  /** Id (64 bits) of the transaction that created the table; null if it is too old to be determined. */
  readonly bornAt: string | null;
  /** Whether the key is unique across all partitions: its index is part of an index of the root. */
  readonly uniqueKey: boolean;
  /**
   * SQL condition that is true for exactly the rows of this partition, on any server. Null for hash partitions, default
   * partitions (each new partition changes theirs), and keys that mean other rows on another server (partition-key.ts).
   */
  readonly bounds: string | null;
}

export interface Column {
  readonly name: string;
  readonly attnum: number;
  readonly typeOid: number;
  readonly baseTypeOid: number;
  /** `format_type` with modifiers, schema-qualified unless in pg_catalog. */
  readonly typeName: string;
  /** `format_type` of the type below all domains, without modifiers. */
  readonly baseTypeName: string;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
  readonly generated: boolean;
  readonly identity: '' | 'a' | 'd';
  /** Null (or unset): none, or the database's default. */
  readonly collation?: Collation | null;
}

export interface Relation extends TableName {
  readonly oid: number;
  /** Table, partitioned table (has no rows itself), or foreign table (reported so that preflight can refuse it). */
  readonly kind: 'r' | 'p' | 'f';
  /** Permanent or unlogged; temporary tables are never selected. */
  readonly persistence: 'p' | 'u';
  readonly identity: 'd' | 'n' | 'f' | 'i';
  /**
   * Whether it can be read by block ranges: a heap, on a server with TID range scans (from 14 on). Without them each chunk reads
   * the whole table, which makes a chunked copy quadratic.
   */
  readonly splittable: boolean;
  /** Blocks of the main fork, 0 without storage; current, or as of the last ANALYZE (see {@link Sizes}). */
  readonly pages: number;
  readonly estimatedRows: number;
  /** Main fork and TOAST, without indexes. */
  readonly bytes: number;
  /** Parent by partitioning or inheritance, the first declared if there are several; null for none. */
  readonly parentOid: number | null;
  readonly isPartition: boolean;
  readonly columns: readonly Column[];
  /**
   * Columns of the unique index that identifies a row in the stream: valid, immediate, not partial, without expressions, on NOT
   * NULL columns that the replica identity sends. Null: none.
   */
  readonly key: readonly string[] | null;
  /** The parts of its columns' types; shared by all tables that were read together. */
  readonly types: TypeGraph;
  /** Set for a partitioned table that goes through its root on the target, and for all its partitions; else null. */
  readonly viaRoot: ViaRoot | null;
  /** A plain table that may be partitioned on the target: its rows go through the root there. Unset: it must be plain. */
  readonly mayBeSplit?: true;
}

/**
 * `measured`: from the file system; takes a short lock on each table and an entry in the session's relation cache (a gigabyte for
 * a hundred thousand tables). `estimated`: as of the last ANALYZE or VACUUM, without locks.
 */
export type Sizes = 'measured' | 'estimated';
