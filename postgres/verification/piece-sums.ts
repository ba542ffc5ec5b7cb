/** Sums up one piece in statements of some thousand blocks: each answer is progress, and each is counted by the limits. */
import type { Work } from '../../contract/work.ts';
import { blocks } from '../snapshot/pipe.ts';
import type { PieceRow, TableSums } from '../store/verification-piece.ts';
import type { VerifiedTable } from '../store/verification-table.ts';
import { BucketSums, type BucketRow } from './bucket-sums.ts';
import { sumsOf } from './row-hash.ts';
import type { Sides } from './sides.ts';
import { lockForReading, readTable, type ReadTable } from './table-reading.ts';

/** 32 MB at the usual block size. */
const BLOCKS_PER_STATEMENT = 4_096;

export interface PieceWork {
  readonly sides: Sides;
  readonly work: Work;
  /** Called with the bytes that a statement has read. Null: continue; otherwise wait for the promise. */
  readonly passed: (bytes: number, rows: number) => Promise<void> | null;
  /** How long a state is read at most: a reader's snapshot outlives the anchor's own session. */
  readonly holdMs: number;
}

export interface SummedPiece {
  readonly sums: readonly TableSums[];
  readonly rows: number;
  /** Numbers of tables that the state no longer shows. */
  readonly unreadable: readonly number[];
}

/**
 * Reads a piece; the reader of its side is in a transaction under the state.
 * @param ends of the slice, by `performance.now()`: no statement begins after it, so that a slow piece does not hold back vacuum.
 * @returns null when it was not finished by then.
 */
export async function sumPiece(
  piece: PieceRow,
  tables: readonly VerifiedTable[],
  { sides, work, passed }: PieceWork,
  ends: number,
): Promise<SummedPiece | null> {
  const reading = tables.flatMap((table) => partsOf(piece, table));
  const unreadable = await lockForReading(sides, piece.side, reading, work);
  const sums = new Map(tables.map(({ id }) => [id, new BucketSums()]));
  const readable = reading.filter(({ comparison }) => !unreadable.has(comparison));
  const share = readable.length === 0 ? 0 : piece.bytes / readable.length;
  for (const table of readable) {
    const found = sums.get(table.comparison) ?? new BucketSums();
    const ranges = rangesOf(piece);
    for (const range of ranges) {
      work.signal.throwIfAborted();
      if (performance.now() > ends) return null;
      const before = found.rows;
      const rows = await readTable(
        sides,
        piece.side,
        table,
        (how) => sumsOf({ ...how, conditions: [...how.conditions, ...blocks(range)] }),
        async (statement) => (await sides.readers[piece.side].query<BucketRow>(statement)).rows,
      );
      found.add(rows);
      await passed(share / ranges.length, found.rows - before);
    }
  }
  const whole = [...sums].filter(([table]) => !unreadable.has(table));
  return {
    sums: whole.map(([table, one]) => one.of(table)),
    rows: whole.reduce((sum, [, { rows }]) => sum + rows, 0),
    unreadable: [...unreadable],
  };
}

/** The tables of the piece's side that hold rows of a comparison, or the one that the piece is of. */
function partsOf({ side, part }: PieceRow, { id, shape }: VerifiedTable): ReadTable[] {
  if (shape === null) return [];
  const all = shape[side].map((table) => ({ ...table, comparison: id, shape }));
  return part === null ? all : all.slice(part, part + 1);
}

interface Range {
  readonly firstBlock: number | null;
  readonly endBlock: number | null;
}

/** The last range of a table has no end, as its last piece has none: the table may have grown before its size was read. */
function rangesOf({ firstBlock, endBlock, pages }: PieceRow): Range[] {
  if (firstBlock === null) return [{ firstBlock, endBlock }];
  const end = endBlock ?? firstBlock + pages;
  const ranges: { firstBlock: number; endBlock: number | null }[] = [];
  for (let at = firstBlock; at < end; at += BLOCKS_PER_STATEMENT) {
    ranges.push({ firstBlock: at, endBlock: Math.min(end, at + BLOCKS_PER_STATEMENT) });
  }
  const last = ranges.at(-1);
  if (last && endBlock === null) last.endBlock = null;
  return ranges;
}
