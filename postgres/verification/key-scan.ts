/**
 * Finds the keys of rows that differ: one scan per side of the rows in differing buckets, ordered by key and merged as they arrive.
 * Only for tables whose sums differ; each scan has its table's snapshot for as long as it takes.
 */
import pg from 'pg';
import type { Work } from '../../contract/work.ts';
import type { ComparedSide } from '../store/verification-piece.ts';
import type { VerifiedTable } from '../store/verification-table.ts';
import type { TableShape } from '../store/verification-shape.ts';
import { keysOf, type Reading } from './row-hash.ts';
import { mergeKeys, type KeyDifference, type KeyRow } from './key-merge.ts';
import type { Sides } from './sides.ts';
import { lockForReading, readTable, type ReadTable } from './table-reading.ts';

const ROWS_PER_FETCH = 2_000;

export interface KeyScan {
  readonly table: Pick<VerifiedTable, 'id' | 'bytes'> & { readonly shape: TableShape };
  readonly buckets: readonly number[];
  /** Only these keys; null: all in the buckets. */
  readonly keys: readonly string[] | null;
}

/**
 * The differences, as they are found; null if a table changed after the state or stays locked. Both readers are in transactions
 * under the state.
 */
export async function scanKeys(
  sides: Sides,
  scan: KeyScan,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<AsyncGenerator<KeyDifference> | null> {
  const { id, shape } = scan.table;
  for (const side of ['source', 'target'] as const) {
    const tables = shape[side].map((table) => ({ ...table, comparison: id, shape }));
    if ((await lockForReading(sides, side, tables, work)).size > 0) return null;
  }
  return mergeKeys(rowsOf(sides, 'source', scan, work), rowsOf(sides, 'target', scan, work));
}

/** Rows of all parts of a side. Parts of one table are merged here, because each is ordered only in itself. */
async function* rowsOf(
  sides: Sides,
  side: ComparedSide,
  { table: { id, shape }, buckets, keys }: KeyScan,
  work: Pick<Work, 'signal'>,
): AsyncGenerator<KeyRow> {
  const parts = shape[side].map((table, at): AsyncGenerator<KeyRow> =>
    partOf(sides, side, { ...table, comparison: id, shape }, at, (how) =>
      among(keysOf(how, buckets), keys),
    ),
  );
  const heads: (KeyRow | undefined)[] = [];
  for (const part of parts) heads.push((await part.next()).value as KeyRow | undefined);
  for (;;) {
    work.signal.throwIfAborted();
    const least = leastOf(heads);
    const head = heads[least];
    if (!head) return;
    yield head;
    heads[least] = (await parts[least]?.next())?.value as KeyRow | undefined;
  }
}

function leastOf(heads: readonly (KeyRow | undefined)[]): number {
  let least = -1;
  let bytes: Buffer | null = null;
  for (const [at, head] of heads.entries()) {
    if (!head) continue;
    const mine = Buffer.from(head.key);
    if (bytes === null || Buffer.compare(mine, bytes) < 0) [least, bytes] = [at, mine];
  }
  return least;
}

function among(statement: string, keys: readonly string[] | null): string {
  if (keys === null) return statement;
  const list = keys.map((key) => pg.escapeLiteral(key)).join(', ');
  return /* sql */ `select f.key, f.hash from (${statement}) f where f.key = any (array[${list}]::text[]) order by f.key collate pg_catalog."C"`;
}

async function* partOf(
  sides: Sides,
  side: ComparedSide,
  table: ReadTable,
  at: number,
  statementOf: (reading: Reading) => string,
): AsyncGenerator<KeyRow> {
  const reader = sides.readers[side];
  const cursor = `walferry_keys_${at}`;
  await readTable(sides, side, table, statementOf, (statement) =>
    reader.query(/* sql */ `declare ${cursor} no scroll cursor for ${statement}`),
  );
  const fetch = /* sql */ `fetch ${ROWS_PER_FETCH} from ${cursor}`;
  for (;;) {
    const { rows } = await reader.query<KeyRow>(fetch);
    yield* rows;
    if (rows.length < ROWS_PER_FETCH) break;
  }
  await reader.query(/* sql */ `close ${cursor}`);
}
