/** How a statement finds the row of a change: SQL conditions on its key, or on all columns of the old row. */
import { keyOf, type Image } from './fold.ts';
import type { TargetTable } from './target-table.ts';
import { writable } from './written-column.ts';

export interface RowMatch {
  readonly signature: string;
  readonly values: readonly (string | null)[];
  /** The condition on the key or on all columns, with parameters numbered from `first`. */
  readonly condition: (first: number) => string;
}

/** How to find the row of a change: by its key if it has one, otherwise by all columns of the old row. */
export function rowOf(table: TargetTable, identity: Image): RowMatch | undefined {
  if (table.key) {
    const key = keyOf(
      identity,
      table.key.map(({ position }) => position),
    );
    return key && rowByKey(table, key);
  }
  return rowByColumns(table, identity);
}

export function rowByKey(table: TargetTable, values: readonly string[]): RowMatch | undefined {
  const { key } = table;
  if (!key) return undefined;
  return {
    signature: 'k',
    values,
    condition: (first) =>
      key
        .map(({ position, equals }, index) => {
          const column = table.columns[position];
          return `${column?.operand} ${equals} $${first + index}::${column?.baseType}`;
        })
        .join(' and '),
  };
}

/**
 * One of the rows whose columns all match the old row's text. Text, because types like json have no equality, and because it is
 * exact (1.0 is not 1.00). The value is cast to the type first, so that both sides come from the same output function. Equal text
 * means equal value, so an additional `=` on an indexed column changes nothing but allows the index.
 */
function rowByColumns(table: TargetTable, identity: Image): RowMatch | undefined {
  const match = columnsMatch(table, identity);
  if (!match || !table.relation.full) return match;
  return {
    ...match,
    condition: (first) => {
      // Duplicates cannot be distinguished: any one of them is right, but only one. In a partitioned table the same ctid occurs
      // in several partitions.
      const row = table.partitioned ? '(t.tableoid, t.ctid)' : 't.ctid';
      return `${row} = (select ${row.replace(/[()]/g, '')} from ${table.only} t where ${match.condition(first)} limit 1)`;
    },
  };
}

/** SQL: the text of a value that is not null, by the output function of its type. */
export function printed(value: string): string {
  return `pg_catalog.format('%s', ${value})`;
}

/**
 * All rows whose columns match the old row's text. Without FULL the identity is a key on the source: several matches are an
 * error.
 */
export function columnsMatch(table: TargetTable, identity: Image): RowMatch | undefined {
  const positions = writable(table, identity);
  const { full } = table.relation;
  // With fewer columns than the source sends, other rows would match too.
  const needed = table.columns.filter((column) => !column.generated && column.planned).length;
  if (full ? positions.length < needed : positions.length === 0) return undefined;
  const given = positions.map((position) => identity[position] ?? null);
  const helped = positions.map(
    (position, index) => given[index] !== null && table.columns[position]?.indexed !== undefined,
  );
  const kind = helped.map((flag, index) => (flag ? 'x' : given[index] === null ? 'n' : 'v'));
  return {
    signature: `c${positions.join()}${kind.join('')}`,
    values: given.filter((value) => value !== null),
    condition: (first) => {
      let next = first;
      const conditions = positions.map((position, index) => {
        const column = table.columns[position];
        // `is null` also holds for a composite value whose fields are all null.
        if (kind[index] === 'n') return `t.${column?.quoted} is not distinct from null`;
        const value = `$${next}::${column?.baseType}`;
        next += 1;
        const help = helped[index] ? `${column?.operand} ${column?.indexed} ${value} and ` : '';
        // Not a cast: an application may have defined one for its type, and bpchar's removes trailing spaces. `format` prints
        // null as an empty string. Under the column's collation two texts may be equal; another row would then match.
        return `${help}t.${column?.quoted} is distinct from null and ${printed(`t.${column?.quoted}`)} = ${printed(value)} collate pg_catalog."C"`;
      });
      return conditions.length === 0 ? 'true' : conditions.join(' and ');
    },
  };
}
