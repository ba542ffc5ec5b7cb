/** What one transaction takes into a pass: units of tables, and as many of them as the target's lock table allows. Pure. */
import type { Relation } from '../catalog/relation.ts';
import { isViaRoot } from '../catalog/row-destination.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';

/** For tables without an earlier copy, which need only control rows. Bounds the transaction and the blocked time (0.1 s). */
const FRESH_PER_TAKE = 1_000;
/** A table with more columns counts as several: its control data grows with them. */
const COLUMNS_PER_FRESH = 10;

/** Taken together or not at all: a table, or a tree that goes through its root. */
export interface Unit {
  readonly tables: readonly PlannedRelationRow[];
  /** The root's row, if the root must be emptied. */
  readonly marked: readonly PlannedRelationRow[];
}

/** A tree that goes through its root is taken as a whole: under two snapshots, a row that moved in between would arrive twice. */
export function unitsOf(
  relations: readonly PlannedRelationRow[],
  left: ReadonlySet<number>,
): Unit[] {
  const roots = new Set(
    relations.flatMap(({ id, viaRoot }) => (viaRoot && left.has(id) ? [keyOfName(viaRoot)] : [])),
  );
  const units: Unit[] = [];
  const trees = new Map<string, { tables: PlannedRelationRow[]; marked: PlannedRelationRow[] }>();
  for (const row of relations) {
    const { id, kind, viaRoot, state } = row;
    if (viaRoot === null) {
      if (kind === 'r' && left.has(id)) units.push({ tables: [row], marked: [] });
      continue;
    }
    const root = keyOfName(viaRoot);
    const marked = isViaRoot(row) && state === 'resync';
    if (!roots.has(root) && !marked) continue;
    const tree = trees.get(root) ?? { tables: [], marked: [] };
    trees.set(root, tree);
    if (kind === 'r' && roots.has(root)) tree.tables.push(row);
    if (marked) tree.marked.push(row);
  }
  return [...units, ...trees.values()];
}

/**
 * Splits the units into batches: first those that may have to be emptied, in as few batches as possible, because foreign keys
 * between them require a common TRUNCATE; then the others. Each group is ordered by size, largest first.
 */
export function* batches(
  units: readonly Unit[],
  emptied: number,
  here: ReadonlyMap<string, Relation>,
): Generator<Unit[]> {
  const wasTaken = ({ tables, marked }: Unit) =>
    marked.length > 0 || tables.some(({ state }) => state !== 'pending');
  const bytes = ({ tables }: Unit) => tables.reduce((sum, one) => sum + one.estimatedBytes, 0);
  const ordered = [...units].sort((a, b) => bytes(b) - bytes(a));
  const count = ({ tables }: Unit) => tables.length;
  const weight = ({ tables }: Unit) =>
    tables.reduce((sum, one) => {
      const columns = here.get(keyOfName(one))?.columns.length ?? 0;
      return sum + Math.max(1, columns / COLUMNS_PER_FRESH);
    }, 0);
  for (const [list, most, sizeOf] of [
    [ordered.filter(wasTaken), emptied, count],
    [ordered.filter((unit) => !wasTaken(unit)), FRESH_PER_TAKE, weight],
  ] as const) {
    let batch: Unit[] = [];
    let size = 0;
    for (const unit of list) {
      if (size > 0 && size + sizeOf(unit) > most) {
        yield batch;
        [batch, size] = [[], 0];
      }
      batch.push(unit);
      size += Math.max(1, sizeOf(unit));
    }
    if (batch.length > 0) yield batch;
  }
}
