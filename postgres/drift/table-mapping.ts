/**
 * Decides which changes of a source transaction reach the target, and how; pure. A change is skipped when its table is not
 * selected, or when its transaction is visible in the exported snapshot of its table: then the copy includes it. Anything
 * unknown stops the stream.
 */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Cell, Change, PlannedRelation } from '../apply/change.ts';
import type { TableName } from '../catalog/selection.ts';
import { mayBeDisguised, type Disguised } from '../catalog/binary-coercible-type.ts';
import { holdsExtreme } from '../catalog/version-form.ts';
import type { RowMessage, TruncateMessage } from '../wal2json/message.ts';
import { holdsRow, shapeMismatch, translate, type RowShape } from './row-shape.ts';

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

/** All changes of a source transaction, or a part of them. */
export interface Piece {
  /** 32 bits, the top-level transaction. */
  readonly xid: number;
  /** Start of the commit record. */
  readonly commitLsn: Lsn;
  readonly messages: readonly (RowMessage | TruncateMessage)[];
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

/**
 * The changes of a piece that must be applied, in order.
 * @param newest position of the latest exported snapshot: commits at or after it are in no copy; null without a copy.
 * @returns an {@link Unsettled} table instead if it has no mapping, or one of its changes fits no row shape.
 */
export function changesOf(
  piece: Piece,
  mappings: TableMappings,
  newest: Lsn | null,
): Change[] | Unsettled {
  const mayBeCopied = newest !== null && compareLsn(piece.commitLsn, newest) < 0;
  const changes: Change[] = [];
  // The caller retries with the whole piece.
  const undo = mappings.remember();
  const origin = { lsn: piece.commitLsn, xid: piece.xid };
  const truncates: PlannedRelation[][] = [];
  let truncate: { readonly at: Lsn | null; readonly relations: PlannedRelation[] } | null = null;
  for (const message of piece.messages) {
    const mapping = mappings.get(message.schema, message.table);
    if (mapping === undefined) return undo(unsettled(message, piece));
    if (mapping === null) {
      mappings.meet(message.schema, message.table);
      continue;
    }
    if (mayBeCopied && mapping.copied(piece.xid, piece.commitLsn)) continue;
    if (message.action !== 'T') {
      truncate = null;
      const rowShape = mappings.rowShapeOf(mapping, message);
      if (typeof rowShape === 'string')
        return undo({ ...unsettled(message, piece), shapeMismatch: rowShape });
      const mismatch =
        extremeIn(message, mapping, rowShape) ?? disguisedIn(message, mapping, rowShape);
      if (mismatch !== null) return undo({ ...unsettled(message, piece), shapeMismatch: mismatch });
      const relation =
        message.action === 'I' ? mapping.relation : namedBy(message, mapping, rowShape);
      if (typeof relation === 'string') {
        return undo({ ...unsettled(message, piece), shapeMismatch: relation });
      }
      changes.push(
        rowChange(
          message,
          relation === mapping.relation ? mapping : { ...mapping, relation },
          rowShape,
          origin,
        ),
      );
    } else if (truncate !== null && truncate.at === message.lsn) {
      truncate.relations.push(mapping.relation);
    } else {
      truncate = { at: message.lsn, relations: [mapping.relation] };
      truncates.push(truncate.relations);
      changes.push({ kind: 'truncate', relations: truncate.relations, ...origin });
    }
  }
  for (const relations of truncates) {
    const unbounded = leaveParts(relations);
    if (unbounded) {
      const { schema, name: table } = unbounded;
      const shapeMismatch =
        'truncates only this partition, whose rows the target cannot distinguish from others';
      return undo({ schema, table, commitLsn: piece.commitLsn, xid: piece.xid, shapeMismatch });
    }
  }
  return changes;
}

/**
 * A TRUNCATE of a root empties its whole tree: the partitions, which it also lists, are removed in place.
 * @returns a partition that must be emptied alone and has no bounds.
 */
function leaveParts(relations: PlannedRelation[]): PlannedRelation | undefined {
  const whole = relations.filter(({ destination }) => destination === undefined);
  const names = new Set(whole.map(({ schema, name }) => key(schema, name)));
  const parts = relations.filter(
    ({ destination }) => destination && !names.has(key(destination.schema, destination.name)),
  );
  relations.splice(0, relations.length, ...whole, ...parts);
  return parts.find(({ bounds }) => bounds === undefined);
}

function unsettled({ schema, table }: RowMessage | TruncateMessage, piece: Piece): Unsettled {
  return { schema, table, commitLsn: piece.commitLsn, xid: piece.xid };
}

function rowChange(
  message: RowMessage,
  mapping: TableMapping,
  rowShape: RowShape,
  origin: { readonly lsn: Lsn; readonly xid: number },
): Change {
  const { relation } = mapping;
  const columns = cellsOf(message.columns, mapping, rowShape);
  switch (message.action) {
    case 'I': {
      const whole = rowShape.fills.length === 0 ? columns : [...columns, ...rowShape.fills];
      return { kind: 'insert', relation, columns: whole, ...origin };
    }
    case 'U': {
      const identity = identityOf(message, mapping, rowShape);
      return { kind: 'update', relation, columns, identity, ...origin };
    }
    case 'D': {
      const identity = identityOf(message, mapping, rowShape);
      return { kind: 'delete', relation, identity, ...origin };
    }
  }
}

/**
 * Text that follows "a change that"; null if there is no such value. A later copy does not need the change, and refuses the
 * column as long as it holds such a value. Checks only new values, not the identity: such a value never reaches the target.
 */
function extremeIn(message: RowMessage, mapping: TableMapping, rowShape: RowShape): string | null {
  if (mapping.intervals.size === 0) return null;
  const found = cellsOf(message.columns, mapping, rowShape).find(
    ({ name, value }) => value !== null && mapping.intervals.has(name) && holdsExtreme(value),
  );
  if (!found) return null;
  return `has an interval in column "${found.name}" that the target reads as infinity or refuses`;
}

/**
 * Text that follows "a change that"; null if there is no such value. Also checks the identity: another row may have the value.
 */
function disguisedIn(
  message: RowMessage,
  mapping: TableMapping,
  rowShape: RowShape,
): string | null {
  const { disguised } = mapping;
  if (disguised.size === 0) return null;
  const cells = [
    ...cellsOf(message.columns, mapping, rowShape),
    ...cellsOf(message.identity, mapping, rowShape),
  ];
  const found = cells.find(({ name, value }) => {
    const type = disguised.get(name);
    return type !== undefined && value !== null && mayBeDisguised(value, type);
  });
  return found
    ? `has a value in column "${found.name}" from a time when it may have had another type`
    : null;
}

/** A whole old row from before a column was added: on the target it has that column, with the value of earlier rows. */
function identityOf(
  message: RowMessage,
  mapping: TableMapping,
  rowShape: RowShape,
): readonly Cell[] {
  const identity = cellsOf(message.identity, mapping, rowShape);
  const { key } = mapping.relation;
  const whole = key === null && rowShape.fills.length > 0 && holdsRow(message, rowShape);
  return whole ? [...identity, ...rowShape.fills] : identity;
}

/**
 * The table with the identity that this change uses: the replica identity may have been another one then.
 * @returns as text that follows "a change that", why the change cannot find its row on the target. Such a change would return
 *   after every resume; after a resync the table does not need it.
 */
function namedBy(
  message: RowMessage,
  { relation, before }: TableMapping,
  rowShape: RowShape,
): PlannedRelation | string {
  if (relation.key !== null) {
    const { names } = rowShape;
    const known = relation.key.every((column) =>
      message.identity.some(({ name }) => (names.get(name) ?? name) === column),
    );
    return known ? relation : OTHER_IDENTITY;
  }
  if (relation.full === holdsRow(message, rowShape)) return relation;
  // A partition's key may also match rows of other partitions; in a separate table it matches one row, and rows are counted.
  if (relation.full && relation.destination) return OTHER_IDENTITY;
  return before ?? relation;
}

const OTHER_IDENTITY = 'identifies its row by other columns than the current replica identity';

function cellsOf(
  cells: readonly Cell[],
  mapping: TableMapping,
  rowShape: RowShape,
): readonly Cell[] {
  const named = translate(cells, rowShape);
  if (mapping.bytea.size === 0) return named;
  return named.map((cell) =>
    cell.value !== null && mapping.bytea.has(cell.name) && !cell.value.startsWith('\\x')
      ? { name: cell.name, value: `\\x${cell.value}` }
      : cell,
  );
}

function key(schema: string, table: string): string {
  return `${schema}\u0000${table}`;
}
