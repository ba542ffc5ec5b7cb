/**
 * Changes one by one, in source order, with prepared statements: the way that is always right. In replica role each
 * single step is legal on the target because it was legal on the source. Sets are only faster; whatever breaks them is
 * settled here, and what fails here has a place: one change.
 *
 * Statements are sent without waiting for each answer; the first failure in source order is the one that counts.
 *
 * Parameters of INSERT and SET have no cast: the server takes the column's own type, parses the text with its input
 * function and applies length, precision and domain as to any assigned value. A cast would cut a text to its length.
 */
import type pg from 'pg';
import type { RowChange } from './change.ts';
import type { Image, NetUpdate, PositionedChange } from './fold.ts';
import { keyOf } from './fold.ts';
import type { TargetTable } from './table.ts';

/** A change together with its table and its columns by position. */
export interface Step {
  readonly table: TargetTable;
  readonly change: PositionedChange;
  /** The source's change, for messages. */
  readonly origin: RowChange;
}

/** One statement that must hit exactly one row. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: readonly (string | null)[];
}

/** A statement hit no row, or several. */
export class WrongRowCount extends Error {
  override readonly name = 'WrongRowCount';
  readonly expected: number;
  readonly rows: number;

  constructor(expected: number, rows: number) {
    super(`expected ${expected} rows, hit ${rows}`);
    this.expected = expected;
    this.rows = rows;
  }
}

/** The change does not name its row: the key is missing from its identity, or null (NaN, for one, on wal2json 2.5). */
export class KeyMissing extends Error {
  override readonly name = 'KeyMissing';
}

/** A change that could not be applied. `cause` is the server's error, a WrongRowCount or a KeyMissing. */
export class StepFailed extends Error {
  override readonly name = 'StepFailed';
  readonly step: Step;

  constructor(step: Step, cause: unknown) {
    super('a change could not be applied', { cause });
    this.step = step;
  }
}

/** Statements on their way at once: enough to hide the network, few enough to fail early. */
const STATEMENTS_IN_FLIGHT = 256;

/** Applies the steps in order. @throws StepFailed for the first that fails; the transaction is then aborted. */
export async function replay(client: pg.Client, steps: readonly Step[]): Promise<void> {
  for (let from = 0; from < steps.length; from += STATEMENTS_IN_FLIGHT) {
    const part = steps.slice(from, from + STATEMENTS_IN_FLIGHT);
    const statements: Statement[] = [];
    let unnamed: StepFailed | undefined;
    for (const step of part) {
      const statement = statementOf(step.table, step.change);
      if (statement) statements.push(statement);
      else {
        // Everything before it goes first: an earlier failure is the one to report.
        unnamed = new StepFailed(step, new KeyMissing('the change does not hold its row’s key'));
        break;
      }
    }
    const failure = await runAll(client, statements);
    if (failure) {
      const step = part[failure.index];
      throw step ? new StepFailed(step, failure.cause) : failure.cause;
    }
    if (unnamed) throw unnamed;
  }
}

/** Runs statements that each must hit one row. @throws the first failure, in order. */
export async function runStatements(
  client: pg.Client,
  statements: readonly Statement[],
): Promise<void> {
  for (let from = 0; from < statements.length; from += STATEMENTS_IN_FLIGHT) {
    const failure = await runAll(client, statements.slice(from, from + STATEMENTS_IN_FLIGHT));
    if (failure) throw failure.cause;
  }
}

async function runAll(
  client: pg.Client,
  statements: readonly Statement[],
): Promise<{ readonly index: number; readonly cause: unknown } | undefined> {
  // COPY is not possible on a pipelining client, so it is switched on only while nothing else is under way.
  Object.assign(client, { pipeline: true });
  let answers: PromiseSettledResult<pg.QueryResult>[];
  try {
    answers = await Promise.allSettled(
      statements.map(({ name, text, values }) =>
        client.query({ ...(name === '' ? {} : { name }), text, values: [...values] }),
      ),
    );
  } finally {
    Object.assign(client, { pipeline: false });
  }
  for (const [index, answer] of answers.entries()) {
    if (answer.status === 'rejected') return { index, cause: answer.reason };
    const rows = answer.value.rowCount ?? 0;
    if (rows !== 1) return { index, cause: new WrongRowCount(1, rows) };
  }
  return undefined;
}

/** The statement for a change, or undefined when the change does not hold the key of its row. */
export function statementOf(table: TargetTable, change: PositionedChange): Statement | undefined {
  if (change.kind === 'insert') return insertOf(table, change.columns);
  const where = rowOf(table, change.identity);
  if (!where) return undefined;
  if (change.kind === 'delete') return deleteOf(table, where);
  return updateOf(table, change.columns, where, keyChanged(table, change.columns, change.identity));
}

/** Statements for a folded effect, in the order that {@link file://./sets.ts} explains. */
export function deleteByKey(table: TargetTable, key: readonly string[]): Statement | undefined {
  const where = rowByKey(table, key);
  return where && deleteOf(table, where);
}

export function updateByKey(table: TargetTable, update: NetUpdate): Statement | undefined {
  const where = rowByKey(table, update.key);
  return where && updateOf(table, update.columns, where, update.keyChanged);
}

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

/** Positions that an image brings and that may be written. */
export function writable(table: TargetTable, image: Image): number[] {
  const positions: number[] = [];
  for (const [position, column] of table.columns.entries()) {
    if (image[position] !== undefined && !column.generated) positions.push(position);
  }
  return positions;
}

/**
 * Positions that an update sets, possibly none. An unchanged key is left out: less to write, and an identity column
 * cannot be set at all.
 */
export function assigned(table: TargetTable, image: Image, keyChanges: boolean): number[] {
  const key = new Set(table.key?.map(({ position }) => position));
  return writable(table, image).filter(
    (position) => !table.columns[position]?.fixed && (keyChanges || !key.has(position)),
  );
}

interface Where {
  readonly shape: string;
  readonly values: readonly (string | null)[];
  /** The condition, with parameters numbered from `first`; `all` columns or the key. */
  readonly condition: (first: number) => string;
}

/** How to find the row of a change: by its key where there is one, else by all columns of the old row. */
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
    shape: 'k',
    values,
    condition: (first) =>
      key
        .map(({ position, equals }, index) => {
          const column = table.columns[position];
          return `t.${column?.quoted} ${equals} $${first + index}::${column?.baseType}`;
        })
        .join(' and '),
  };
}

/**
 * One of the rows whose columns all have the old row's text. Text, because types like json have no equality, and
 * because it is exact (1.0 is not 1.00). The value passes through the type first: both sides then come from the same
 * output function. Equal text is equal value, so `=` on an indexed column changes nothing but lets the index help.
 */
function rowByColumns(table: TargetTable, identity: Image): Where | undefined {
  const positions = writable(table, identity);
  // Fewer columns than the table has would match rows that are not meant.
  const needed = table.columns.filter((column) => !column.generated && column.planned).length;
  if (!table.relation.full || positions.length < needed) return undefined;
  const given = positions.map((position) => identity[position] ?? null);
  const helped = positions.map(
    (position, index) => given[index] !== null && table.columns[position]?.indexed !== undefined,
  );
  const kind = helped.map((flag, index) => (flag ? 'x' : given[index] === null ? 'n' : 'v'));
  return {
    shape: `c${positions.join()}${kind.join('')}`,
    values: given.filter((value) => value !== null),
    condition: (first) => {
      let next = first;
      const conditions = positions.map((position, index) => {
        const column = table.columns[position];
        if (kind[index] === 'n') return `t.${column?.quoted} is null`;
        const value = `$${next}::${column?.baseType}`;
        next += 1;
        const help = helped[index] ? `t.${column?.quoted} ${column?.indexed} ${value} and ` : '';
        return `${help}t.${column?.quoted}::text = ${value}::text`;
      });
      // True duplicates are told apart by nothing: any one of them is the right one, but only one. A partitioned
      // table has the same ctid in several partitions.
      const row = table.partitioned ? '(t.tableoid, t.ctid)' : 't.ctid';
      return `${row} = (select ${row.replace(/[()]/g, '')} from ${table.only} t where ${
        conditions.length === 0 ? 'true' : conditions.join(' and ')
      } limit 1)`;
    },
  };
}

function deleteOf(table: TargetTable, where: Where): Statement {
  return named(
    table,
    `d${where.shape}`,
    where.values,
    () => `delete from ${table.only} t where ${where.condition(1)}`,
  );
}

function updateOf(table: TargetTable, image: Image, where: Where, keyChanges: boolean): Statement {
  const positions = assigned(table, image, keyChanges);
  const values = positions.map((position) => image[position] ?? null);
  return named(table, `u${positions.join()}${where.shape}`, [...values, ...where.values], () => {
    const sets = positions.map(
      (position, index) => `${table.columns[position]?.quoted} = $${index + 1}`,
    );
    if (sets.length === 0) {
      // Nothing to write (every column unchanged and out of line): the row must still be there.
      return `select from ${table.only} t where ${where.condition(1)} for update`;
    }
    return `update ${table.only} t set ${sets.join(', ')} where ${where.condition(positions.length + 1)}`;
  });
}

function keyChanged(table: TargetTable, columns: Image, identity: Image): boolean {
  if (!table.key) return true;
  return table.key.some(
    ({ position }) => columns[position] !== undefined && columns[position] !== identity[position],
  );
}

/** Statements by table and shape: building a text costs more than looking it up. */
const prepared = new WeakMap<TargetTable, Map<string, { readonly name: string; text: string }>>();

/** Beyond this many shapes of one table statements are parsed each time instead of being kept by the server. */
const MOST_KEPT_SHAPES = 64;

function named(
  table: TargetTable,
  shape: string,
  values: readonly (string | null)[],
  build: () => string,
): Statement {
  let known = prepared.get(table);
  if (!known) prepared.set(table, (known = new Map<string, { name: string; text: string }>()));
  let statement = known.get(shape);
  if (!statement) {
    const name = known.size < MOST_KEPT_SHAPES ? `walferry_${table.number}_${known.size}` : '';
    statement = { name, text: build() };
    known.set(shape, statement);
  }
  return { ...statement, values };
}
