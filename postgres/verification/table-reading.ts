/** Reading tables of one side under a state: locked, and only if the state still shows their rows. */
import type { Work } from '../../contract/work.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';
import { PRINTS_WITH_SCHEMAS } from '../session/planning.ts';
import { lockTables } from '../snapshot/table-lock.ts';
import type { ComparedSide } from '../store/verification-piece.ts';
import type { TableShape } from '../store/verification-shape.ts';
import type { Reading } from './row-hash.ts';
import type { Sides } from './sides.ts';

/** A table that another session keeps locked is left to the next state: waiting for it would hold back vacuum. */
const MOST_WAIT_MS = 30_000;

/** A table that is read, with the shape of the comparison that it is part of. */
export interface ReadTable extends TableName {
  /** Number of its comparison. */
  readonly comparison: number;
  readonly shape: TableShape;
}

/**
 * Locks the tables in the reader's open transaction until its end.
 * @returns numbers of the comparisons that cannot be read under the state: a table was rewritten, emptied, dropped or changed after
 *   it (the state would show no rows), or stays locked.
 */
export async function lockForReading(
  sides: Sides,
  side: ComparedSide,
  tables: readonly ReadTable[],
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<ReadonlySet<number>> {
  if (tables.length === 0) return new Set();
  const deadline = performance.now() + MOST_WAIT_MS;
  const wanted = tables.map(({ schema, name }, id) => ({
    ...{ id, schema, name },
    destination: { schema, name },
  }));
  try {
    const checked = await lockTables(
      sides.readers[side],
      wanted,
      (table) => {
        work.signal.throwIfAborted();
        work.beat({ table: nameOf(table), waitingFor: 'a lock on the table' });
        if (performance.now() > deadline) throw new StaysLocked();
      },
      false,
    );
    return new Set(checked.flatMap(({ same }, at) => (same ? [] : [tables[at]?.comparison ?? -1])));
  } catch (error) {
    if (error instanceof StaysLocked) return new Set(tables.map(({ comparison }) => comparison));
    throw error;
  }
}

class StaysLocked extends Error {}

/**
 * Runs a statement that reads a table; its names are found under the empty search path, or else under the application's.
 * @param statementOf of the reading.
 */
export async function readTable<T>(
  sides: Sides,
  side: ComparedSide,
  { shape, ...table }: ReadTable,
  statementOf: (reading: Reading) => string,
  run: (statement: string) => Promise<T>,
): Promise<T> {
  const base = { table, shape, hashing: sides.hashing, conditions: [] };
  try {
    const path = await sides.planning[side].settle(
      sides.readers[side],
      quoted(table),
      statementOf(base),
    );
    const conditions = path === '' ? [] : [PRINTS_WITH_SCHEMAS];
    return await run(statementOf({ ...base, conditions }));
  } catch (error) {
    throw readFailure(error, side, table);
  }
}

/** What to throw when reading a table fails. */
export function readFailure(
  error: unknown,
  side: ComparedSide,
  table: Omit<ReadTable, 'shape'>,
): Error {
  const state = sqlstate(error);
  if (state !== undefined && !PASSING.has(state.slice(0, 2)) && state !== DENIED) {
    return new UnreadableTable(table.comparison, side, state);
  }
  return classify(error, { step: 'comparing rows', table: nameOf(table), side }, 'Internal');
}

/** Connections, resources, operators, locks and the server's own state: another try may succeed. */
const PASSING = new Set(['08', '40', '53', '55', '57', '58']);
const DENIED = SQLSTATE.insufficientPrivilege;

/** A table whose rows a server cannot print or hash: a row's text beyond 1 GB, a function that fails, a damaged page. */
export class UnreadableTable extends Error {
  /** Number of its comparison. */
  readonly comparison: number;
  readonly reason: string;

  constructor(comparison: number, side: ComparedSide, state: string) {
    super(`cannot be read on the ${side} (SQLSTATE ${state})`);
    this.comparison = comparison;
    this.reason = this.message;
  }
}
