/**
 * Cutting tables into chunks and chunks into runs. Pure and deterministic.
 *
 * A chunk is a block range of one table, or a bundle of small tables. The last chunk of a table has no end: the table may have
 * grown before its size was read, and no row may be missed. A run is the work of one activity: a few hundred at most for any
 * database, to keep the history small, and several for a small one, so that workers can share it.
 */
import type { Chunk } from '../store/chunk.ts';
import type { CopyRun } from '../../contract/work.ts';

export interface SizedTable {
  /** Number of the table in the plan. */
  readonly id: number;
  readonly pages: number;
  /** Including TOAST, where a table with few blocks can have gigabytes. */
  readonly bytes: number;
  /** Whether it can be read by block ranges. */
  readonly splittable: boolean;
}

/** Bounds the locks and round trips of one chunk. */
export const TABLES_PER_BUNDLE = 200;
/** A table is small if at least this many of its size fit into a chunk; larger tables have separate chunks. */
const SMALL_PER_CHUNK = 2;

/** Largest tables first (a large one started late would leave the other streams idle), then bundles. */
export function cutTables(
  tables: readonly SizedTable[],
  chunkBytes: number,
  tablesPerBundle = TABLES_PER_BUNDLE,
): Chunk[] {
  const ordered = [...tables].sort((a, b) => b.bytes - a.bytes || a.id - b.id);
  const isSmall = ({ bytes }: SizedTable) => bytes * SMALL_PER_CHUNK <= chunkBytes;
  return [
    ...ordered.filter((table) => !isSmall(table)).flatMap((table) => cutTable(table, chunkBytes)),
    ...bundle(ordered.filter(isSmall), chunkBytes, tablesPerBundle),
  ];
}

function cutTable({ id, pages, bytes, splittable }: SizedTable, chunkBytes: number): Chunk[] {
  const count = splittable ? Math.max(1, Math.min(pages, Math.ceil(bytes / chunkBytes))) : 1;
  if (count === 1) return [{ relations: [id], firstBlock: null, endBlock: null, pages }];
  const border = (i: number) => Math.floor((i * pages) / count);
  return Array.from({ length: count }, (_, i) => ({
    relations: [id],
    firstBlock: border(i),
    endBlock: i === count - 1 ? null : border(i + 1),
    pages: border(i + 1) - border(i),
  }));
}

function bundle(tables: readonly SizedTable[], chunkBytes: number, most: number): Chunk[] {
  const chunks: Chunk[] = [];
  let ids: number[] = [];
  let bytes = 0;
  let pages = 0;
  const close = () => {
    if (ids.length > 0) chunks.push({ relations: ids, firstBlock: null, endBlock: null, pages });
    [ids, bytes, pages] = [[], 0, 0];
  };
  for (const table of tables) {
    if (ids.length >= most || bytes + table.bytes > chunkBytes) close();
    ids.push(table.id);
    bytes += table.bytes;
    pages += table.pages;
  }
  close();
  return chunks;
}

/** 33 / (33 / 8) may come out slightly above 8. */
const ROUNDING = 1e-6;

export interface PendingChunk {
  readonly id: number;
  readonly relations: readonly number[];
}

/** Each run costs about six events of a history that should stay within some thousands. */
const RUNS_MOST = 200;
/** With enough work for all streams, shorter runs are mostly overhead: each opens new sessions. */
const CHUNKS_PER_RUN = 16;
/** Up to this many tables, each has separate runs under its name in Temporal's timeline. */
const TABLES_APART = 100;
/** Minimum of runs per stream, so that streams end close together. Each run costs a quarter of a chunk's CPU time. */
const RUNS_PER_STREAM = 2;

/**
 * Groups consecutive chunks into runs. A table with enough chunks has separate runs; small groups are joined.
 * @param chunks unfinished chunks, ascending; missing ids belong to finished chunks.
 * @param nameOf readable name of a table.
 */
export function groupRuns(
  chunks: readonly PendingChunk[],
  options: {
    readonly prefix: string;
    readonly parallelism: number;
    readonly nameOf: (relation: number) => string;
  },
): CopyRun[] {
  const most = Math.min(
    RUNS_MOST,
    Math.max(options.parallelism * RUNS_PER_STREAM, chunks.length / CHUNKS_PER_RUN),
  );
  // Not rounded: 33 chunks in runs of 5 would be seven runs, and one of four streams would end early.
  const size = Math.max(1, chunks.length / most);
  const tables = byTable(chunks);
  const groups = tables.length > TABLES_APART ? joinSmall(tables, size) : tables;
  const runs = groups.flatMap((group) => splitGroup(group, size, options.nameOf));
  return runs.map((run, i) => ({ id: `${options.prefix}-${i + 1}`, ...run }));
}

/** Groups by table, then bundles; in the order of chunk numbers. */
function byTable(chunks: readonly PendingChunk[]): PendingChunk[][] {
  const groups: PendingChunk[][] = [];
  let last: string | null = null;
  for (const chunk of chunks) {
    const key = chunk.relations.length === 1 ? `table ${chunk.relations[0]}` : 'bundles';
    if (key === last) groups.at(-1)?.push(chunk);
    else groups.push([chunk]);
    last = key;
  }
  return groups;
}

/** Joins adjacent groups as long as they fit into one run. */
function joinSmall(groups: readonly PendingChunk[][], size: number): PendingChunk[][] {
  const joined: PendingChunk[][] = [];
  for (const group of groups) {
    const last = joined.at(-1);
    if (last && last.length + group.length <= size) last.push(...group);
    else joined.push([...group]);
  }
  return joined;
}

function splitGroup(
  group: readonly PendingChunk[],
  size: number,
  nameOf: (relation: number) => string,
): Omit<CopyRun, 'id'>[] {
  const count = Math.min(group.length, Math.ceil(group.length / size - ROUNDING));
  const name = label(group, nameOf);
  const border = (i: number) => Math.floor((i * group.length) / count);
  return Array.from({ length: count }, (_, i) => {
    const part = group.slice(border(i), border(i + 1));
    return {
      label: name + (count > 1 ? ` ${i + 1}/${count}` : ''),
      firstChunk: part[0]?.id ?? 0,
      lastChunk: part.at(-1)?.id ?? 0,
    };
  });
}

function label(group: readonly PendingChunk[], nameOf: (relation: number) => string): string {
  const tables = new Set(group.flatMap(({ relations }) => relations));
  const [only] = tables;
  if (tables.size === 1 && only !== undefined) return nameOf(only);
  const small = group.some(({ relations }) => relations.length > 1);
  return `${tables.size} ${small ? 'small ' : ''}tables`;
}
