/**
 * Folding: the net effect per row of a sequence of changes to one table. Pure.
 *
 * A row is identified by the text of its key. That is exact: the source always prints the same stored value the same
 * way, so all changes of one row agree on it, also across key changes. Two texts for one value (`a` and `A` of a
 * case-insensitive type) would be two rows here. The unique key allows only one of them at a time on the source, so
 * they can only follow each other, and on the target deletes run before updates before inserts.
 *
 * The net effect of a row is one of
 *   deleted   it existed before and is gone
 *   updated   it existed before and still exists: its old key, and every column that an update carried
 *   inserted  it did not exist before: the columns of the insert merged with later updates
 *   nothing   it was inserted and deleted
 * A key that is deleted and inserted again is two rows, one deleted and one inserted. That is exact because an insert
 * carries every column. Merged into an update, a column absent from a later update would keep the value of the deleted
 * row.
 *
 * What no correct sequence contains (a key inserted twice, a change of a deleted row, a key that is missing or null) is
 * not folded: the result is undefined, and the changes are applied one at a time, where an error points to one change.
 */

/** A row by column position; undefined means absent (unchanged, not written), null means null. */
export type Image = (string | null | undefined)[];

/** A change of one row, with columns by position. */
export type PositionedChange =
  | { readonly kind: 'insert'; readonly columns: Image }
  | { readonly kind: 'update'; readonly columns: Image; readonly identity: Image }
  | { readonly kind: 'delete'; readonly identity: Image };

export type KeyValues = readonly string[];

export interface NetUpdate {
  /** The row's key before the sequence. */
  readonly key: KeyValues;
  readonly columns: Image;
  readonly keyChanged: boolean;
}

export interface NetEffect {
  readonly deletes: readonly KeyValues[];
  readonly updates: readonly NetUpdate[];
  readonly inserts: readonly Image[];
}

/** A row that exists at this point of the sequence. */
interface LiveRow {
  /** Key before the sequence; null when the sequence inserted the row. */
  readonly origin: KeyValues | null;
  readonly originName: string | null;
  columns: Image;
}

/**
 * Folds changes of one table in source order.
 * @param key positions of the key's columns
 * @returns the net effect, or undefined when the sequence cannot be folded (see above)
 */
export function fold(
  changes: Iterable<PositionedChange>,
  key: readonly number[],
): NetEffect | undefined {
  const live = new Map<string, LiveRow>();
  // Keys from before the sequence that a change has already used. A second change that names such a key without a live row refers
  // to a row that does not exist.
  const origins = new Set<string>();
  const deletes: KeyValues[] = [];

  const take = (values: KeyValues, name: string): LiveRow | undefined => {
    const known = live.get(name);
    if (known) {
      live.delete(name);
      return known;
    }
    if (origins.has(name)) return undefined;
    origins.add(name);
    return { origin: values, originName: name, columns: [] };
  };

  for (const change of changes) {
    if (change.kind === 'insert') {
      const values = keyOf(change.columns, key);
      if (!values) return undefined;
      const name = nameOf(values);
      if (live.has(name)) return undefined;
      live.set(name, { origin: null, originName: null, columns: change.columns.slice() });
      continue;
    }
    const values = keyOf(change.identity, key);
    if (!values) return undefined;
    const name = nameOf(values);
    const row = take(values, name);
    if (!row) return undefined;
    if (change.kind === 'delete') {
      if (row.origin) deletes.push(row.origin);
      continue;
    }
    // An update omits an unchanged TOASTed key column: the old value still holds.
    const moved = keyOf(change.columns, key, change.identity);
    if (!moved) return undefined;
    const movedName = nameOf(moved);
    if (live.has(movedName)) return undefined;
    merge(row.columns, change.columns);
    live.set(movedName, row);
  }

  const updates: NetUpdate[] = [];
  const inserts: Image[] = [];
  for (const [name, row] of live) {
    if (row.origin) {
      const keyChanged = name !== row.originName;
      updates.push({ key: row.origin, columns: row.columns, keyChanged });
    } else {
      inserts.push(row.columns);
    }
  }
  return { deletes, updates, inserts };
}

/** Later columns win; a column absent from the later row keeps its value. */
function merge(into: Image, from: Image): void {
  for (let position = 0; position < from.length; position += 1) {
    const value = from[position];
    if (value !== undefined) into[position] = value;
  }
}

/** The key's values, or undefined when one is null or absent in both images. */
export function keyOf(
  image: Image,
  key: readonly number[],
  fallback?: Image,
): string[] | undefined {
  const values: string[] = [];
  for (const position of key) {
    const own = image[position];
    const value = own === undefined ? fallback?.[position] : own;
    if (value === undefined || value === null) return undefined;
    values.push(value);
  }
  return values;
}

/** One text for a key; lengths distinguish ('a,b', 'c') from ('a', 'b,c'). */
function nameOf(values: KeyValues): string {
  if (values.length === 1) return values[0] ?? '';
  return values.map((value) => `${value.length}:${value}`).join();
}
