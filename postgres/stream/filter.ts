/**
 * Which changes of a source transaction reach the target, and in which form; pure. A change is left out when its table is
 * not selected, or when its transaction is visible in the snapshot that its table was copied from: then the copy has it.
 * Everything that is not known here stops the stream.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Cell, Change, PlannedRelation } from '../apply/change.ts';
import type { Piece } from '../replication/assemble.ts';
import type { RowMessage, TruncateMessage } from '../wal2json/message.ts';

/** What becomes of a table's changes. */
export interface Route {
  readonly relation: PlannedRelation;
  readonly columns: ReadonlySet<string>;
  /** Columns whose values arrive as hexadecimal digits without the `\x` that the input function wants. */
  readonly bytea: ReadonlySet<string>;
  /** Whether the table's copy holds the transaction (32-bit top-level id). */
  readonly copied: (xid: number) => boolean;
}

/** A table that the plan does not name: the caller finds out what it is and calls again. */
export interface Unsettled {
  readonly schema: string;
  readonly table: string;
  readonly commitLsn: Lsn;
}

/** Routes by schema and table; null for tables whose changes are left out on purpose. */
export class Routes {
  readonly #byName = new Map<string, Route | null>();

  set(schema: string, table: string, route: Route | null): void {
    this.#byName.set(key(schema, table), route);
  }

  get(schema: string, table: string): Route | null | undefined {
    return this.#byName.get(key(schema, table));
  }
}

/**
 * The changes of a piece that are to be applied, in order.
 * @param newest position of the newest generation: what commits at or after it is in no copy; null without a copy.
 * @returns an {@link Unsettled} table instead when there is no route for it.
 * @throws MigrationError `SchemaDrift` for a column that the plan does not know.
 */
export function changesOf(piece: Piece, routes: Routes, newest: Lsn | null): Change[] | Unsettled {
  const mayBeCopied = newest !== null && compareLsn(piece.commitLsn, newest) < 0;
  const changes: Change[] = [];
  let truncate: { readonly at: Lsn | null; readonly relations: PlannedRelation[] } | null = null;
  for (const message of piece.messages) {
    const route = routes.get(message.schema, message.table);
    if (route === undefined) {
      return { schema: message.schema, table: message.table, commitLsn: piece.commitLsn };
    }
    if (route === null || (mayBeCopied && route.copied(piece.xid))) continue;
    const origin = { lsn: piece.commitLsn, xid: piece.xid };
    if (message.action !== 'T') {
      truncate = null;
      changes.push(rowChange(message, route, origin));
    } else if (truncate !== null && truncate.at === message.lsn) {
      truncate.relations.push(route.relation);
    } else {
      truncate = { at: message.lsn, relations: [route.relation] };
      changes.push({ kind: 'truncate', relations: truncate.relations, ...origin });
    }
  }
  return changes;
}

function rowChange(
  message: RowMessage,
  route: Route,
  origin: { readonly lsn: Lsn; readonly xid: number },
): Change {
  const { relation } = route;
  const columns = cellsOf(message.columns, message, route, origin.lsn);
  switch (message.action) {
    case 'I':
      return { kind: 'insert', relation, columns, ...origin };
    case 'U': {
      const identity = cellsOf(message.identity, message, route, origin.lsn);
      return { kind: 'update', relation, columns, identity, ...origin };
    }
    case 'D': {
      const identity = cellsOf(message.identity, message, route, origin.lsn);
      return { kind: 'delete', relation, identity, ...origin };
    }
  }
}

function cellsOf(
  cells: readonly Cell[],
  message: RowMessage | TruncateMessage,
  route: Route,
  lsn: Lsn,
): readonly Cell[] {
  for (const { name } of cells) {
    if (!route.columns.has(name)) {
      const table = `${message.schema}.${message.table}`;
      throw new MigrationError(
        'SchemaDrift',
        `a change of table ${table} at ${lsn} holds column "${name}", which was not there when the stream began`,
        { table, column: name, lsn },
      );
    }
  }
  if (route.bytea.size === 0) return cells;
  return cells.map((cell) =>
    cell.value !== null && route.bytea.has(cell.name) && !cell.value.startsWith('\\x')
      ? { name: cell.name, value: `\\x${cell.value}` }
      : cell,
  );
}

function key(schema: string, table: string): string {
  return `${schema}\u0000${table}`;
}
