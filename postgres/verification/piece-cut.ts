/** Cuts the tables of both sides into pieces. Pure. */
import { cutTables } from '../snapshot/chunking.ts';
import type { ComparedSide, Piece } from '../store/verification-piece.ts';

/** A table of one side with its size. */
export interface SizedPart {
  readonly pages: number;
  /** Including TOAST. */
  readonly bytes: number;
  /** Whether it can be read by block ranges. */
  readonly splittable: boolean;
}

/** A compared table with the tables of both sides that hold its rows. */
export interface SizedComparison {
  readonly id: number;
  readonly parts: Readonly<Record<ComparedSide, readonly SizedPart[]>>;
}

/** Bounds the locks and statements of one piece. */
export const TABLES_PER_PIECE = 100;
const SIDES = ['source', 'target'] as const;

/**
 * Pieces of one table follow each other, those of both sides: an anchor that is lost costs the tables that are not finished, and
 * so few are begun at a time. The largest first, small ones in bundles.
 */
export function cutPieces(
  tables: readonly SizedComparison[],
  chunkBytes: number,
  tablesPerPiece = TABLES_PER_PIECE,
): Piece[] {
  const ordered = [...tables].sort((a, b) => sizeOf(b) - sizeOf(a) || a.id - b.id);
  const isSmall = (table: SizedComparison) =>
    sizeOf(table) <= chunkBytes && partsOf(table) <= tablesPerPiece;
  const large = ordered.filter((table) => !isSmall(table));
  return [
    ...large.flatMap((table) => SIDES.flatMap((side) => cutSide(table, side, chunkBytes))),
    ...bundle(ordered.filter(isSmall), chunkBytes, tablesPerPiece),
  ];
}

function cutSide({ id, parts }: SizedComparison, side: ComparedSide, chunkBytes: number): Piece[] {
  return parts[side].flatMap((part, at) =>
    cutTables([{ id: at, ...part }], chunkBytes).map(({ firstBlock, endBlock, pages }) => ({
      ...{ side, tables: [id], part: at, firstBlock, endBlock, pages },
      bytes: part.pages === 0 ? part.bytes : (part.bytes * pages) / part.pages,
    })),
  );
}

function bundle(tables: readonly SizedComparison[], chunkBytes: number, most: number): Piece[] {
  const bundles: SizedComparison[][] = [];
  let [bytes, parts] = [Infinity, 0];
  for (const table of tables) {
    bytes += sizeOf(table);
    parts += partsOf(table);
    if (bytes > chunkBytes || parts > most) {
      bundles.push([]);
      [bytes, parts] = [sizeOf(table), partsOf(table)];
    }
    bundles.at(-1)?.push(table);
  }
  return bundles.flatMap((some) =>
    SIDES.map((side) => {
      const sized = some.flatMap((table) => table.parts[side]);
      return {
        ...{ side, tables: some.map(({ id }) => id), part: null, firstBlock: null, endBlock: null },
        pages: sized.reduce((sum, one) => sum + one.pages, 0),
        bytes: sized.reduce((sum, one) => sum + one.bytes, 0),
      };
    }),
  );
}

/** The larger side counts: the target may have bloat that the source has not, and the other way round. */
function sizeOf({ parts }: SizedComparison): number {
  return Math.max(...SIDES.map((side) => parts[side].reduce((sum, one) => sum + one.bytes, 0)));
}

function partsOf({ parts }: SizedComparison): number {
  return Math.max(...SIDES.map((side) => parts[side].length));
}
