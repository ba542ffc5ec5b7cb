/**
 * Which changes of a source transaction reach the target, and in which form; pure. A change is left out when its table is
 * not selected, or when its transaction is visible in the snapshot that its table was copied from: then the copy has it.
 * Everything that is not known here stops the stream.
 */
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Cell, Change, PlannedRelation } from '../apply/change.ts';
import type { TableName } from '../catalog/selection.ts';
import { mayBeDisguised, type Disguised } from '../catalog/disguise.ts';
import { holdsExtreme } from '../catalog/version-form.ts';
import type { RowMessage, TruncateMessage } from '../wal2json/message.ts';
import { holdsRow, shapeMismatch, translate, type RowShape } from './row-shape.ts';

/** What becomes of a table's changes. */
export interface TableMapping {
  readonly relation: PlannedRelation;
  /** The same for changes whose replica identity was the whole row, when it is not now, or the reverse; null: none can come. */
  readonly before: PlannedRelation | null;
  /** Forms of its changes in the order of their time: usually one, two around a DDL that the target has already. */
  readonly rowShapes: readonly [RowShape, ...RowShape[]];
  /** Columns whose values arrive as hexadecimal digits without the `\x` that the input function wants. */
  readonly bytea: ReadonlySet<string>;
  /** Columns with intervals some of which the target would take for infinite; empty where it takes none for that. */
  readonly intervals: ReadonlySet<string>;
  /** Columns that may have had another type for a time; nearly always empty. */
  readonly disguised: Disguised;
  /** Whether the table's copy holds the transaction (32-bit top-level id), which committed at this position. */
  readonly copied: (xid: number, commitLsn: Lsn) => boolean;
}

/** A table that the plan does not name, or a change of no known form: the caller finds out what happened. */
export interface Unsettled {
  readonly schema: string;
  readonly table: string;
  readonly commitLsn: Lsn;
  /** 32 bits, the top-level transaction. */
  readonly xid: number;
  /** What is strange about the change; unset for a table without a route. */
  readonly shapeMismatch?: string;
}

/** A name whose changes are left out, and what the source said of it when that was decided; null: there was no such table. */
export interface Left extends TableName {
  readonly fingerprint: string | null;
}

/** Changes of a source transaction: all of them, or a part. */
export interface Piece {
  /** 32 bits, the top-level transaction. */
  readonly xid: number;
  /** Start of the commit record. */
  readonly commitLsn: Lsn;
  readonly messages: readonly (RowMessage | TruncateMessage)[];
}

/** Routes by schema and table; null for tables whose changes are left out on purpose. */
export class TableMappings {
  readonly #byName = new Map<string, TableMapping | null>();
  readonly #left = new Map<string, Left>();
  /** Names of {@link #left} with a change since the last call. */
  #met = new Map<string, Left>();
  /** How many forms of a table are behind: after the first change of a newer form none of an older one can come. */
  #behind = new Map<TableMapping, number>();

  set(schema: string, table: string, mapping: TableMapping): void {
    this.#byName.set(key(schema, table), mapping);
  }

  /** Changes of this name are left out, as long as it means what it means now. */
  leave(left: Left): void {
    const name = key(left.schema, left.name);
    this.#byName.set(name, null);
    this.#left.set(name, left);
  }

  /** How many names are left out. */
  get leftOut(): number {
    return this.#left.size;
  }

  /** Notes that a change was left out. */
  meet(schema: string, table: string): void {
    const name = key(schema, table);
    const left = this.#left.get(name);
    if (left) this.#met.set(name, left);
  }

  /** Names of which a change was left out since the last call: another table may have got one of them meanwhile. */
  takeMet(): Left[] {
    const met = [...this.#met.values()];
    this.#met = new Map();
    return met;
  }

  get(schema: string, table: string): TableMapping | null | undefined {
    return this.#byName.get(key(schema, table));
  }

  /** @returns what takes back the forms met since, and passes its argument on. */
  remember(): <T>(outcome: T) => T {
    const behind = new Map(this.#behind);
    return (outcome) => {
      this.#behind = behind;
      return outcome;
    };
  }

  /** The form that the change is of, or why it is of none. */
  formOf(mapping: TableMapping, message: RowMessage): RowShape | string {
    const behind = this.#behind.get(mapping) ?? 0;
    let why = '';
    for (let at = behind; at < mapping.rowShapes.length; at += 1) {
      const rowShape = mapping.rowShapes[at];
      if (rowShape === undefined) break;
      const strange = shapeMismatch(message, rowShape);
      if (strange === null) {
        if (at > behind) this.#behind.set(mapping, at);
        return rowShape;
      }
      why ||= strange;
    }
    return why;
  }
}

/**
 * The changes of a piece that are to be applied, in order.
 * @param newest position of the newest generation: what commits at or after it is in no copy; null without a copy.
 * @returns an {@link Unsettled} table instead when there is no route for it, or no form for one of its changes.
 */
export function changesOf(
  piece: Piece,
  mappings: TableMappings,
  newest: Lsn | null,
): Change[] | Unsettled {
  const mayBeCopied = newest !== null && compareLsn(piece.commitLsn, newest) < 0;
  const changes: Change[] = [];
  // The caller comes again with the whole piece.
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
      const rowShape = mappings.formOf(mapping, message);
      if (typeof rowShape === 'string')
        return undo({ ...unsettled(message, piece), shapeMismatch: rowShape });
      const strange =
        extremeIn(message, mapping, rowShape) ?? disguisedIn(message, mapping, rowShape);
      if (strange !== null) return undo({ ...unsettled(message, piece), shapeMismatch: strange });
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
    const vague = leaveParts(relations);
    if (vague) {
      const { schema, name: table } = vague;
      const shapeMismatch =
        'empties this partition alone, whose rows the target cannot tell from the others';
      return undo({ schema, table, commitLsn: piece.commitLsn, xid: piece.xid, shapeMismatch });
    }
  }
  return changes;
}

/**
 * A statement that names a root empties all that goes through it: its partitions, which it names too, are left out in place.
 * @returns a partition that is to be emptied alone and has no bounds.
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
 * In words that follow "a change that"; null when it holds none. A later copy does not need the change, and refuses the table by its
 * column as long as it holds such a value. Only what is stored: no row of the target is found by one, because none gets there.
 */
function extremeIn(message: RowMessage, mapping: TableMapping, rowShape: RowShape): string | null {
  if (mapping.intervals.size === 0) return null;
  const found = cellsOf(message.columns, mapping, rowShape).find(
    ({ name, value }) => value !== null && mapping.intervals.has(name) && holdsExtreme(value),
  );
  if (!found) return null;
  return `holds an interval in column "${found.name}" that the target takes for infinity or does not read`;
}

/** In words that follow "a change that"; null when it holds none. Also where a row is named: another row may have the value. */
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
  return found ? `holds a value in column "${found.name}" from when that had another type` : null;
}

/** A whole old row from before a column was added has that column on the target, with the value that earlier rows hold. */
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
 * The table, known by what this change names its row by: the replica identity may have been another one then.
 * @returns in words that follow "a change that" why the change cannot find its row on the target: it would come again after
 *   every resume, and a table that is copied again does not need it.
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
    return known ? relation : OTHERWISE;
  }
  if (relation.full === holdsRow(message, rowShape)) return relation;
  // A key of a partition alone may be a row's of another one, too; in a table of its own it is one row's, and is counted.
  if (relation.full && relation.destination) return OTHERWISE;
  return before ?? relation;
}

const OTHERWISE = 'names its row by other columns than the replica identity of now';

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
