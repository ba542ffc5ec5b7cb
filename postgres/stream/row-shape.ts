/**
 * What the changes of a table look like, pure. A change is decoded with the catalog of its own moment, so its columns tell
 * which side of a DDL it is from: wal2json names every column of a new row, in attribute order, and leaves out of an update
 * only what can be TOASTed. A change of neither known form stops the stream.
 */
import type { Cell } from '../apply/change.ts';
import type {
  TableDefinition,
  DefinitionChange,
  ColumnDefinition,
} from '../catalog/table-definition.ts';
import type { RowMessage } from '../wal2json/message.ts';

/** How changes of one shape are brought to the target's columns of today. */
export interface RowShape {
  readonly columns: readonly ColumnDefinition[];
  /** Other names on the target; null for columns that neither side has any more. Empty for the common case. */
  readonly names: ReadonlyMap<string, string | null>;
  /** What rows of this form hold in columns that were added later: the target's own default could be another value. */
  readonly fills: readonly Cell[];
}

export function plainRowShape(definition: TableDefinition): RowShape {
  return { columns: definition.columns, names: new Map(), fills: [] };
}

/**
 * The form of changes from before a DDL that the target has already.
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

/** In which a change is not of the form, in words that follow "a change that"; null when it is. */
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
  // A delete has no columns of a new row.
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

/** Whether the identity is the whole old row: sent under REPLICA IDENTITY FULL. */
export function holdsRow({ identity }: RowMessage, { columns }: RowShape): boolean {
  const sent = new Set(identity.map(({ name }) => name));
  return columns.every(({ name, generated }) => generated !== '' || sent.has(name));
}

/** Cells under the target's names. The same array in the common case: every change passes through here. */
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
  if (!known) return `holds column "${name}", which was not there before`;
  if (!sent) return `holds no column "${name}" any more`;
  return `holds column "${name}" in another place than before`;
}
