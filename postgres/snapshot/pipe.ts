/**
 * Bytes from COPY to COPY, never rows: nothing between the two servers parses a value. Text format, because both sides' sessions
 * print and read it in the same way whatever their versions; back-pressure is the streams' own.
 */
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { MigrationError } from '../../contract/failure.ts';
import { BEYOND_BOUNDS, isBeyondBounds } from '../connection/bounds.ts';
import { classify, sqlstate } from '../connection/failure.ts';
import type { CheckedTable } from './tables.ts';
import { quoted } from '../catalog/table-name.ts';

/** Large pieces: each one costs the event loop a turn. */
const BUFFER_BYTES = 256 * 1024;
const QUERY_CANCELED = '57014';

export interface BlockRange {
  /** Null: the whole table. */
  readonly firstBlock: number | null;
  /** First block not in the range; null: to the end. */
  readonly endBlock: number | null;
}

export interface Copied {
  readonly rows: number;
  /** Bytes of COPY text. */
  readonly bytes: number;
}

/**
 * Copies a range of a table inside the two open transactions. After an error both sessions are in the middle of a COPY: cut them.
 * @param progress called with the bytes that passed just now.
 * @throws MigrationError `CopyFailed` naming table and SQLSTATE, `Unreachable`, `Contention`, `Denied`.
 */
export async function pipeTable(
  source: pg.Client,
  target: pg.Client,
  table: CheckedTable,
  range: BlockRange,
  progress: (bytes: number) => void,
): Promise<Copied> {
  let bytes = 0;
  const columns = table.columns.map((name) => pg.escapeIdentifier(name)).join(', ');
  const from = source.query(
    copyTo(
      // `only`: a parent would bring its children's rows, which are copied as tables of their own.
      /* sql */ `copy (select ${columns} from only ${quoted(table)}${blocks(range)}) to stdout`,
      { highWaterMark: BUFFER_BYTES },
    ),
  );
  const into = target.query(
    copyFrom(
      /* sql */ `copy ${quoted(table.destination)}${columns === '' ? '' : ` (${columns})`} from stdin`,
      {
        highWaterMark: BUFFER_BYTES,
      },
    ),
  );
  let failed: 'source' | 'target' | null = null;
  from.once('error', () => (failed ??= 'source'));
  into.once('error', () => (failed ??= 'target'));
  const counter = new Transform({
    highWaterMark: BUFFER_BYTES,
    transform(piece: Buffer, _encoding, done) {
      bytes += piece.length;
      progress(piece.length);
      done(null, piece);
    },
  });
  try {
    await pipeline(from, counter, into);
  } catch (error) {
    throw copyFailure(error, table, failed);
  }
  if (from.rowCount !== into.rowCount) {
    throw new MigrationError(
      'CopyFailed',
      `table ${table.schema}.${table.name}: ${from.rowCount} rows left the source, ${into.rowCount} arrived on the target`,
      { table: `${table.schema}.${table.name}` },
    );
  }
  return { rows: into.rowCount, bytes };
}

/** Block numbers are 32 bits and our own: safe to write into the statement, which takes no parameters. */
function blocks({ firstBlock, endBlock }: BlockRange): string {
  const limits = [
    firstBlock === null ? null : `ctid >= '(${firstBlock},0)'`,
    endBlock === null ? null : `ctid < '(${endBlock},0)'`,
  ].filter((limit) => limit !== null);
  return limits.length === 0 ? '' : ` where ${limits.join(' and ')}`;
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
      `rows of ${table} do not fit into the target (SQLSTATE 23514): ${BEYOND_BOUNDS}`,
      { table, sqlstate: '23514' },
    );
  }
  // Somebody cancelled the statement; that says nothing about the rows.
  const fallback = sqlstate(error) === QUERY_CANCELED ? 'Contention' : 'CopyFailed';
  return classify(
    error,
    { step: 'copying rows', table, ...(side === null ? {} : { side }) },
    fallback,
  );
}
