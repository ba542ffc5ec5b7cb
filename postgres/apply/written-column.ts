/** Which columns of a target table an insert or an update writes. */
import type { Image } from './fold.ts';
import type { TargetTable } from './target-table.ts';

/** Positions that an image carries and that may be written. */
export function writable(table: TargetTable, image: Image): number[] {
  const positions: number[] = [];
  for (const [position, column] of table.columns.entries()) {
    if (image[position] !== undefined && !column.generated) positions.push(position);
  }
  return positions;
}

/**
 * Positions that an update sets, possibly none. An unchanged key is omitted, to write less. A fixed column is omitted because no
 * UPDATE can write it: see {@link fixed}.
 */
export function assigned(table: TargetTable, image: Image, keyChanges: boolean): number[] {
  return updated(table, image, keyChanges).filter(
    (position) => table.columns[position]?.fixed !== true,
  );
}

/** Positions of GENERATED ALWAYS identity columns that an update carries, with a new or an unchanged value. */
export function fixed(table: TargetTable, image: Image, keyChanges: boolean): number[] {
  return updated(table, image, keyChanges).filter(
    (position) => table.columns[position]?.fixed === true,
  );
}

function updated(table: TargetTable, image: Image, keyChanges: boolean): number[] {
  const positions = writable(table, image);
  if (keyChanges) return positions;
  const key = new Set(table.key?.map(({ position }) => position));
  return positions.filter((position) => !key.has(position));
}
