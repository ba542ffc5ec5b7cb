/**
 * The columns that changes of a table carry, pure. The source decodes a change with the catalog of that moment, so the
 * columns show whether it is from before or after a DDL: wal2json prints every column of a new row, in attribute order, and
 * omits from an update only columns that can be TOASTed. A change that fits no known row shape stops the stream.
 */
import type { Cell } from '../apply/change.ts';
import type {
  TableDefinition,
  DefinitionChange,
  ColumnDefinition,
} from '../catalog/table-definition.ts';
import type { RowMessage } from '../wal2json/message.ts';

/** How changes of one row shape map to the target's current columns. */
export interface RowShape {
  readonly columns: readonly ColumnDefinition[];
  /** Different names on the target; null for columns that were dropped on both sides. Usually empty. */
  readonly names: ReadonlyMap<string, string | null>;
  /** Values of these rows in columns that were added later: the target's default could differ. */
  readonly fills: readonly Cell[];
}

export function plainRowShape(definition: TableDefinition): RowShape {
  return { columns: definition.columns, names: new Map(), fills: [] };
}

/**
 * The row shape of changes from before a DDL that the target already has.
 * @param change what the DDL did; it must not be opaque.
 */
export function earlierRowShape(before: TableDefinition, change: DefinitionChange): RowShape {
  const names = new Map<string, string | null>();
  for (const { name } of change.dropped) names.set(name, null);
  for (const { from, to } of change.renamed) names.set(from, to);
  const ordinary = change.added.filter(({ generated }) => generated === '');
  return {
    columns: before.columns,
    names,
    fills: ordinary.map(({ name, missing }) => ({ name, value: missing })),
  };
}

/** How a change deviates from the row shape, as text that follows "a change that"; null when it fits. */
export function shapeMismatch(message: RowMessage, rowShape: RowShape): string | null {
  const { columns } = rowShape;
  const whole = message.action === 'I';
  let at = 0;
  for (const { name } of message.columns) {
    while (columns[at] !== undefined && columns[at]?.name !== name) {
      const absent = columns[at];
      if (absent && !mayBeAbsent(absent, whole))
        return explain(message.columns, rowShape, absent.name);
      at += 1;
    }
    if (columns[at] === undefined) return explain(message.columns, rowShape, name);
    at += 1;
  }
  // A delete carries no new row.
  for (; message.action !== 'D' && at < columns.length; at += 1) {
    const absent = columns[at];
    if (absent && !mayBeAbsent(absent, whole))
      return explain(message.columns, rowShape, absent.name);
  }
  let next = 0;
  for (const { name } of message.identity) {
    while (columns[next] !== undefined && columns[next]?.name !== name) next += 1;
    if (columns[next] === undefined) return explain(message.identity, rowShape, name);
    next += 1;
  }
  return null;
}

/** Whether the identity is the whole old row, as under REPLICA IDENTITY FULL. */
export function holdsRow({ identity }: RowMessage, { columns }: RowShape): boolean {
  const sent = new Set(identity.map(({ name }) => name));
  return columns.every(({ name, generated }) => generated !== '' || sent.has(name));
}

/** Cells with the target's names. Usually returns the same array, for speed: every change passes through here. */
export function translate(cells: readonly Cell[], { names }: RowShape): readonly Cell[] {
  if (names.size === 0) return cells;
  return cells.flatMap(({ name, value }) => {
    const to = names.get(name);
    if (to === null) return [];
    return [{ name: to ?? name, value }];
  });
}

function mayBeAbsent({ varying, generated }: ColumnDefinition, whole: boolean): boolean {
  return generated === 'v' || (varying && !whole);
}

function explain(cells: readonly Cell[], { columns }: RowShape, name: string): string {
  const known = columns.some((column) => column.name === name);
  const sent = cells.some((cell) => cell.name === name);
  if (!known) return `has the new column "${name}"`;
  if (!sent) return `no longer has column "${name}"`;
  return `has column "${name}" at another position than before`;
}
