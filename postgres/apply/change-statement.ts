/**
 * The SQL of single changes: parameterized statements, built once per table and combination of columns, prepared by the server.
 *
 * Parameters of INSERT and SET have no cast: the server infers the column's type, parses the text with its input function and
 * enforces length, precision and domain as for any assigned value. A cast would cut a text to its length.
 */
import type { Image, NetUpdate, PositionedChange } from './fold.ts';
import { rowByKey, rowOf, type RowMatch } from './row-match.ts';
import type { TargetTable } from './target-table.ts';
import { assigned, fixed, writable } from './written-column.ts';

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
  found?: RowMatch,
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

function deleteOf(table: TargetTable, where: RowMatch): Statement {
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

function updateOf(table: TargetTable, image: Image, where: RowMatch, old: Old): Statement {
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
  where: RowMatch,
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
