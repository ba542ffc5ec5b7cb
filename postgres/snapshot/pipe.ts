/**
 * Pipes bytes from COPY to COPY; nothing between the two servers parses rows or values. Binary if both servers use the same
 * binary format for all columns (binary.ts), otherwise text, which all versions print and read in the same way.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { BEYOND_BOUNDS, isBeyondBounds } from '../connection/partition-bound-violation.ts';
import { CopyIn, CopyOut } from '../session/copy-session.ts';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';
import { PRINTS_WITH_SCHEMAS, type Planning } from '../session/planning.ts';
import type { CheckedTable } from './table-lock.ts';
import { quoted } from '../catalog/table-name.ts';

export interface BlockRange {
  /** Null: the whole table. */
  readonly firstBlock: number | null;
  /** First block not in the range; null: to the end. */
  readonly endBlock: number | null;
}

/** How a range of a table is piped. */
export interface Pipe {
  readonly range: BlockRange;
  /** Of the source. */
  readonly planning: Planning;
  /** Both sides have the same binary format. */
  readonly binary: boolean;
  /** Called with the number of bytes just copied. Null: continue; otherwise wait for the promise. */
  readonly progress: (bytes: number) => Promise<void> | null;
}

export interface Copied {
  readonly rows: number;
  /** Bytes of COPY data in its format. */
  readonly bytes: number;
}

/**
 * Copies a range of a table within the two open transactions. After an error both sessions are in the middle of a COPY: cut them.
 * @throws MigrationError `CopyFailed` naming table and SQLSTATE, `Unreachable`, `Contention`, `Denied`.
 */
export async function pipeTable(
  source: pg.Client,
  target: pg.Client,
  table: CheckedTable,
  { range, planning, binary, progress }: Pipe,
): Promise<Copied> {
  let bytes = 0;
  const columns = table.columns.map((name) => pg.escapeIdentifier(name)).join(', ');
  const format = binary ? ' (format binary)' : '';
  const reading = await copyStatement(source, table, columns, range, planning);
  const writing = /* sql */ `copy ${quoted(table.destination)}${columns === '' ? '' : ` (${columns})`} from stdin${format}`;
  const into = await CopyIn.start(target, writing).catch((error: unknown) => {
    throw copyFailure(error, table, 'target');
  });
  const passed = (more: number): Promise<void> | null => {
    bytes += more;
    return progress(more);
  };
  const left = CopyOut.run(source, `${reading}${format}`, into.socket, passed).then(
    (rows) => {
      into.done();
      return rows;
    },
    (error: unknown) => {
      throw copyFailure(error, table, 'source');
    },
  );
  const arrived = into.ended.catch((error: unknown) => {
    throw copyFailure(error, table, 'target');
  });
  // Report the first failure: the other side is cut because of it.
  const [sent, received] = await Promise.all([left, arrived]);
  if (sent !== received) {
    throw new MigrationError(
      'CopyFailed',
      `table ${table.schema}.${table.name}: the source sent ${sent} rows, the target received ${received}`,
      { table: `${table.schema}.${table.name}` },
    );
  }
  return { rows: received, bytes };
}

/** A whole table is read without a query, as pg_dump does; neither form includes rows of children. */
async function copyStatement(
  source: pg.Client,
  table: CheckedTable,
  columns: string,
  range: BlockRange,
  planning: Planning,
): Promise<string> {
  const limits = blocks(range);
  if (limits.length === 0) {
    return /* sql */ `copy ${quoted(table)}${columns === '' ? '' : ` (${columns})`} to stdout`;
  }
  const select = (conditions: readonly string[]) =>
    /* sql */ `select ${columns} from only ${quoted(table)} where ${conditions.join(' and ')}`;
  try {
    const path = await planning.settle(source, quoted(table), select(limits));
    return `copy (${select(path === '' ? limits : [PRINTS_WITH_SCHEMAS, ...limits])}) to stdout`;
  } catch (error) {
    throw copyFailure(error, table, 'source');
  }
}

/** Conditions of a range. Block numbers are 32-bit numbers from walferry's plan: safe in a statement without parameters. */
export function blocks({ firstBlock, endBlock }: BlockRange): string[] {
  return [
    firstBlock === null ? null : `ctid >= '(${firstBlock},0)'`,
    endBlock === null ? null : `ctid < '(${endBlock},0)'`,
  ].filter((limit) => limit !== null);
}

function copyFailure(
  error: unknown,
  { schema, name }: CheckedTable,
  side: 'source' | 'target' | null,
): MigrationError {
  const table = `${schema}.${name}`;
  if (isBeyondBounds(error)) {
    return new MigrationError(
      'CopyFailed',
      `rows of ${table} do not fit on the target (SQLSTATE 23514): ${BEYOND_BOUNDS}`,
      { table, sqlstate: '23514' },
    );
  }
  // A cancelled statement says nothing about the rows.
  const fallback = sqlstate(error) === SQLSTATE.queryCanceled ? 'Contention' : 'CopyFailed';
  return classify(
    error,
    { step: 'copying rows', table, ...(side === null ? {} : { side }) },
    fallback,
  );
}
