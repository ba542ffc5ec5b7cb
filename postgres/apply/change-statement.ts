/**
 * The SQL of single changes: parameterized statements, built once per table and combination of columns, prepared by the server.
 *
 * Parameters of INSERT and SET have no cast: the server infers the column's type, parses the text with its input function and
 * enforces length, precision and domain as for any assigned value. A cast would cut a text to its length.
 */
import { keyOf } from './fold.ts';
import type { Image, NetUpdate, PositionedChange } from './fold.ts';
import type { TargetTable } from './target-table.ts';

/** One statement that must hit exactly one row. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: readonly (string | null)[];
}

/**
 * The statement for a change, or undefined when the change does not contain the key of its row.
 * @param found its row, when it was already located.
 */
export function statementOf(
  table: TargetTable,
  change: PositionedChange,
  found?: Where,
): Statement | undefined {
  if (change.kind === 'insert') return insertOf(table, change.columns);
  const where = found ?? rowOf(table, change.identity);
  if (!where) return undefined;
  if (change.kind === 'delete') return deleteOf(table, where);
  return updateOf(table, change.columns, where, {
    before: change.identity,
    keyChanged: keyChanged(table, change.columns, change.identity),
  });
}

/** The DELETE of one row of a folded effect. */
export function deleteByKey(table: TargetTable, key: readonly string[]): Statement | undefined {
  const where = rowByKey(table, key);
  return where && deleteOf(table, where);
}

/** The UPDATE of one row of a folded effect. */
export function updateByKey(table: TargetTable, update: NetUpdate): Statement | undefined {
  const where = rowByKey(table, update.key);
  if (!where) return undefined;
  const before: Image = [];
  for (const [index, { position }] of (table.key ?? []).entries()) {
    before[position] = update.key[index];
  }
  return updateOf(table, update.columns, where, { before, keyChanged: update.keyChanged });
}

/** The INSERT of a row. */
export function insertOf(table: TargetTable, image: Image): Statement {
  const positions = writable(table, image);
  const values = positions.map((position) => image[position] ?? null);
  const names = positions.map((position) => table.columns[position]?.quoted).join(', ');
  const parameters = positions.map((_, index) => `$${index + 1}`).join(', ');
  return named(table, `i${positions.join()}`, values, () =>
    positions.length === 0
      ? `insert into ${table.qualified} default values`
      : `insert into ${table.qualified} (${names}) overriding system value values (${parameters})`,
  );
}

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

export interface Where {
  readonly signature: string;
  readonly values: readonly (string | null)[];
  /** The condition on the key or on all columns, with parameters numbered from `first`. */
  readonly condition: (first: number) => string;
}

/** How to find the row of a change: by its key if it has one, otherwise by all columns of the old row. */
function rowOf(table: TargetTable, identity: Image): Where | undefined {
  if (table.key) {
    const key = keyOf(
      identity,
      table.key.map(({ position }) => position),
    );
    return key && rowByKey(table, key);
  }
  return rowByColumns(table, identity);
}

function rowByKey(table: TargetTable, values: readonly string[]): Where | undefined {
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
function rowByColumns(table: TargetTable, identity: Image): Where | undefined {
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
export function columnsMatch(table: TargetTable, identity: Image): Where | undefined {
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

function deleteOf(table: TargetTable, where: Where): Statement {
  return named(
    table,
    `d${where.signature}`,
    where.values,
    () => `delete from ${table.only} t where ${where.condition(1)}`,
  );
}

interface Old {
  /** Columns of the row before the update, as far as known. */
  readonly before: Image;
  readonly keyChanged: boolean;
}

function updateOf(table: TargetTable, image: Image, where: Where, old: Old): Statement {
  const { before } = old;
  const unsure = fixed(table, image, old.keyChanged).filter(
    (position) => image[position] !== before[position],
  );
  if (unsure.length > 0) return renumberOf(table, image, where, { ...old, unsure });
  const positions = assigned(table, image, old.keyChanged);
  const values = positions.map((position) => image[position] ?? null);
  return named(
    table,
    `u${positions.join()}${where.signature}`,
    [...values, ...where.values],
    () => {
      const sets = positions.map(
        (position, index) => `${table.columns[position]?.quoted} = $${index + 1}`,
      );
      if (sets.length === 0) {
        // Nothing to write (every column unchanged and out of line), but the row must still exist.
        return `select from ${table.only} t where ${where.condition(1)} for update`;
      }
      return `update ${table.only} t set ${sets.join(', ')} where ${where.condition(positions.length + 1)}`;
    },
  );
}

/**
 * An update that may change an identity column GENERATED ALWAYS, as `set id = default` does on the source. UPDATE cannot write
 * such a column, INSERT can. Where the value differs, the row is deleted and inserted again in one statement, so that columns
 * missing from the change come from the old row.
 */
function renumberOf(
  table: TargetTable,
  image: Image,
  where: Where,
  { unsure, keyChanged: keyChanges }: Old & { readonly unsure: readonly number[] },
): Statement {
  const positions = assigned(table, image, keyChanges);
  const parameters = [...positions, ...unsure];
  const values = parameters.map((position) => image[position] ?? null);
  const signature = `r${positions.join()}f${unsure.join()}${where.signature}`;
  return named(table, signature, [...values, ...where.values], () => {
    const given = new Map(parameters.map((position, index) => [position, `$${index + 1}`]));
    const row = where.condition(parameters.length + 1);
    const same = unsure
      .map((position) => `t.${table.columns[position]?.quoted} = ${given.get(position)}`)
      .join(' and ');
    const sets = positions.map(
      (position) => `${table.columns[position]?.quoted} = ${given.get(position)}`,
    );
    const kept =
      sets.length === 0
        ? `select 1 from ${table.only} t where ${row} and ${same} for update`
        : `update ${table.only} t set ${sets.join(', ')} where ${row} and ${same} returning 1`;
    const columns = [...table.columns.entries()].filter(([, column]) => !column.generated);
    const names = columns.map(([, { quoted }]) => quoted).join(', ');
    const cells = columns.map(([position, { quoted }]) => given.get(position) ?? `o.${quoted}`);
    return /* sql */ `
      with kept as (${kept}),
           old as (delete from ${table.only} t where ${row} and not (${same}) returning *),
           renumbered as (insert into ${table.qualified} (${names}) overriding system value
                          select ${cells.join(', ')} from old o returning 1)
      select 1 from kept union all select 1 from renumbered`;
  });
}

function keyChanged(table: TargetTable, columns: Image, identity: Image): boolean {
  if (!table.key) return true;
  return table.key.some(
    ({ position }) => columns[position] !== undefined && columns[position] !== identity[position],
  );
}

/** Statements by table and signature: building a text costs more than looking it up. */
const prepared = new WeakMap<TargetTable, Map<string, { readonly name: string; text: string }>>();

/** Beyond this many signatures per table, statements are parsed each time instead of being kept by the server. */
const MOST_PREPARED = 64;

function named(
  table: TargetTable,
  signature: string,
  values: readonly (string | null)[],
  build: () => string,
): Statement {
  let known = prepared.get(table);
  if (!known) prepared.set(table, (known = new Map<string, { name: string; text: string }>()));
  let statement = known.get(signature);
  if (!statement) {
    const name = known.size < MOST_PREPARED ? `walferry_${table.number}_${known.size}` : '';
    statement = { name, text: build() };
    known.set(signature, statement);
  }
  return { ...statement, values };
}
