/**
 * Decides which changes of a source transaction reach the target, and how; pure. A change is skipped when its table is not
 * selected, or when its transaction is visible in the exported snapshot of its table: then the copy includes it. Anything
 * unknown stops the stream.
 */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Cell, Change, PlannedRelation } from '../apply/change.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { mayBeDisguised } from '../catalog/binary-coercible-type.ts';
import { holdsExtremeInterval } from '../catalog/version-form.ts';
import type { RowMessage, TruncateMessage } from '../wal2json/message.ts';
import { holdsRow, translate, type RowShape } from './row-shape.ts';
import type { TableMapping, TableMappings, Unsettled } from './table-mapping.ts';

/** All changes of a source transaction, or a part of them. */
export interface Piece {
  /** 32 bits, the top-level transaction. */
  readonly xid: number;
  /** Start of the commit record. */
  readonly commitLsn: Lsn;
  readonly messages: readonly (RowMessage | TruncateMessage)[];
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
      return undo({
        ...{ schema, table, commitLsn: piece.commitLsn, xid: piece.xid },
        shapeMismatch:
          'truncates only this partition, whose rows the target cannot distinguish from others',
      });
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
  const names = new Set(whole.map(keyOfName));
  const parts = relations.filter(
    ({ destination }) => destination && !names.has(keyOfName(destination)),
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
    ({ name, value }) =>
      value !== null && mapping.intervals.has(name) && holdsExtremeInterval(value),
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
