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
import { holdsRow, misfit, translate, type Form } from './form.ts';

/** What becomes of a table's changes. */
export interface Route {
  readonly relation: PlannedRelation;
  /** The same for changes whose replica identity was the whole row, when it is not now, or the reverse; null: none can come. */
  readonly before: PlannedRelation | null;
  /** Forms of its changes in the order of their time: usually one, two around a DDL that the target has already. */
  readonly forms: readonly [Form, ...Form[]];
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
  readonly misfit?: string;
}

/** A name whose changes are left out, and what the source said of it when that was decided; null: there was no such table. */
export interface Left extends TableName {
  readonly token: string | null;
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
export class Routes {
  readonly #byName = new Map<string, Route | null>();
  readonly #left = new Map<string, Left>();
  /** Names of {@link #left} with a change since the last call. */
  #met = new Map<string, Left>();
  /** How many forms of a table are behind: after the first change of a newer form none of an older one can come. */
  #behind = new Map<Route, number>();

  set(schema: string, table: string, route: Route): void {
    this.#byName.set(key(schema, table), route);
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

  get(schema: string, table: string): Route | null | undefined {
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
  formOf(route: Route, message: RowMessage): Form | string {
    const behind = this.#behind.get(route) ?? 0;
    let why = '';
    for (let at = behind; at < route.forms.length; at += 1) {
      const form = route.forms[at];
      if (form === undefined) break;
      const strange = misfit(message, form);
      if (strange === null) {
        if (at > behind) this.#behind.set(route, at);
        return form;
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
export function changesOf(piece: Piece, routes: Routes, newest: Lsn | null): Change[] | Unsettled {
  const mayBeCopied = newest !== null && compareLsn(piece.commitLsn, newest) < 0;
  const changes: Change[] = [];
  // The caller comes again with the whole piece.
  const undo = routes.remember();
  const origin = { lsn: piece.commitLsn, xid: piece.xid };
  const truncates: PlannedRelation[][] = [];
  let truncate: { readonly at: Lsn | null; readonly relations: PlannedRelation[] } | null = null;
  for (const message of piece.messages) {
    const route = routes.get(message.schema, message.table);
    if (route === undefined) return undo(unsettled(message, piece));
    if (route === null) {
      routes.meet(message.schema, message.table);
      continue;
    }
    if (mayBeCopied && route.copied(piece.xid, piece.commitLsn)) continue;
    if (message.action !== 'T') {
      truncate = null;
      const form = routes.formOf(route, message);
      if (typeof form === 'string') return undo({ ...unsettled(message, piece), misfit: form });
      const strange = extremeIn(message, route, form) ?? disguisedIn(message, route, form);
      if (strange !== null) return undo({ ...unsettled(message, piece), misfit: strange });
      const relation = message.action === 'I' ? route.relation : namedBy(message, route, form);
      if (typeof relation === 'string') {
        return undo({ ...unsettled(message, piece), misfit: relation });
      }
      changes.push(
        rowChange(
          message,
          relation === route.relation ? route : { ...route, relation },
          form,
          origin,
        ),
      );
    } else if (truncate !== null && truncate.at === message.lsn) {
      truncate.relations.push(route.relation);
    } else {
      truncate = { at: message.lsn, relations: [route.relation] };
      truncates.push(truncate.relations);
      changes.push({ kind: 'truncate', relations: truncate.relations, ...origin });
    }
  }
  for (const relations of truncates) {
    const vague = leaveParts(relations);
    if (vague) {
      const { schema, name: table } = vague;
      const misfit =
        'empties this partition alone, whose rows the target cannot tell from the others';
      return undo({ schema, table, commitLsn: piece.commitLsn, xid: piece.xid, misfit });
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
  route: Route,
  form: Form,
  origin: { readonly lsn: Lsn; readonly xid: number },
): Change {
  const { relation } = route;
  const columns = cellsOf(message.columns, route, form);
  switch (message.action) {
    case 'I': {
      const whole = form.fills.length === 0 ? columns : [...columns, ...form.fills];
      return { kind: 'insert', relation, columns: whole, ...origin };
    }
    case 'U': {
      const identity = identityOf(message, route, form);
      return { kind: 'update', relation, columns, identity, ...origin };
    }
    case 'D': {
      const identity = identityOf(message, route, form);
      return { kind: 'delete', relation, identity, ...origin };
    }
  }
}

/**
 * In words that follow "a change that"; null when it holds none. A later copy does not need the change, and refuses the table by its
 * column as long as it holds such a value. Only what is stored: no row of the target is found by one, because none gets there.
 */
function extremeIn(message: RowMessage, route: Route, form: Form): string | null {
  if (route.intervals.size === 0) return null;
  const found = cellsOf(message.columns, route, form).find(
    ({ name, value }) => value !== null && route.intervals.has(name) && holdsExtreme(value),
  );
  if (!found) return null;
  return `holds an interval in column "${found.name}" that the target takes for infinity or does not read`;
}

/** In words that follow "a change that"; null when it holds none. Also where a row is named: another row may have the value. */
function disguisedIn(message: RowMessage, route: Route, form: Form): string | null {
  const { disguised } = route;
  if (disguised.size === 0) return null;
  const cells = [
    ...cellsOf(message.columns, route, form),
    ...cellsOf(message.identity, route, form),
  ];
  const found = cells.find(({ name, value }) => {
    const type = disguised.get(name);
    return type !== undefined && value !== null && mayBeDisguised(value, type);
  });
  return found ? `holds a value in column "${found.name}" from when that had another type` : null;
}

/** A whole old row from before a column was added has that column on the target, with the value that earlier rows hold. */
function identityOf(message: RowMessage, route: Route, form: Form): readonly Cell[] {
  const identity = cellsOf(message.identity, route, form);
  const { key } = route.relation;
  const whole = key === null && form.fills.length > 0 && holdsRow(message, form);
  return whole ? [...identity, ...form.fills] : identity;
}

/**
 * The table, known by what this change names its row by: the replica identity may have been another one then.
 * @returns in words that follow "a change that" why the change cannot find its row on the target: it would come again after
 *   every resume, and a table that is copied again does not need it.
 */
function namedBy(
  message: RowMessage,
  { relation, before }: Route,
  form: Form,
): PlannedRelation | string {
  if (relation.key !== null) {
    const { names } = form;
    const known = relation.key.every((column) =>
      message.identity.some(({ name }) => (names.get(name) ?? name) === column),
    );
    return known ? relation : OTHERWISE;
  }
  if (relation.full === holdsRow(message, form)) return relation;
  // A key of a partition alone may be a row's of another one, too; in a table of its own it is one row's, and is counted.
  if (relation.full && relation.destination) return OTHERWISE;
  return before ?? relation;
}

const OTHERWISE = 'names its row by other columns than the replica identity of now';

function cellsOf(cells: readonly Cell[], route: Route, form: Form): readonly Cell[] {
  const named = translate(cells, form);
  if (route.bytea.size === 0) return named;
  return named.map((cell) =>
    cell.value !== null && route.bytea.has(cell.name) && !cell.value.startsWith('\\x')
      ? { name: cell.name, value: `\\x${cell.value}` }
      : cell,
  );
}

function key(schema: string, table: string): string {
  return `${schema}\u0000${table}`;
}
