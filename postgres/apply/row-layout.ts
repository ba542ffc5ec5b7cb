/** What the plugin prints for a table whose changes take the fast path. */
import type { ValueKind } from '../wal2json/value.ts';

/** The table's columns as the plugin writes them, in their order. */
export interface RowLayout {
  /** `{"name":"id","value":` for each column. */
  readonly heads: readonly Buffer[];
  readonly names: readonly string[];
  readonly kinds: readonly ValueKind[];
  /** Whether an update may omit the column: it can be stored out of line. */
  readonly varying: readonly boolean[];
  /** Indexes of the key columns, ascending; empty for a table that accepts inserts only. */
  readonly key: readonly number[];
}
