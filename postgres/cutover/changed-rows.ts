/**
 * The rows of one table that changed on either side since a verification, compared by key while no one writes. What changed is read
 * from the rows themselves: `xmin` is the transaction that wrote a row's present version. Nothing has to be collected by the stream
 * before, and a defect of the stream cannot hide what it did.
 *
 * The other side's row is looked up by its key where only one side has a new version: a transaction that was open when the anchor
 * was taken may have an older number there. A row that should be gone and is not has no new version; counting finds it.
 */
import { MigrationError } from '../../contract/failure.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import type { Session } from '../session/session.ts';
import type { ComparedSide } from '../store/verification-piece.ts';
import type { TableShape } from '../store/verification-shape.ts';
import { quoted } from '../catalog/table-name.ts';
import { rowHash, someRowsOf } from '../verification/row-hash.ts';
import { keyCondition } from '../verification/row-replacement.ts';
import type { Sides } from '../verification/sides.ts';
import { readFailure, readTable, UnreadableTable } from '../verification/table-reading.ts';

/** Beyond it a table is only counted: its rows would take longer than the writes may be stopped, and fill the memory. */
const MOST_ROWS = 100_000;
/** Rows that only one side has in a new version. Each costs a query on both sides. */
const MOST_LOOKUPS = 2_000;

/** Why a table is not compared when its share of the time is over. */
export const NO_TIME = 'no time was left';

export interface ChangedTable {
  /** Number within the verification. */
  readonly id: number;
  readonly shape: TableShape & { readonly key: readonly string[] };
  /** Of each side: transactions from this one on may have written after the anchor. */
  readonly since: Readonly<Record<ComparedSide, bigint>>;
}

export interface ChangedRows {
  /** Keys with a new version on either side. */
  readonly rows: number;
  /** Of them, those whose rows differ. */
  readonly differing: number;
}

/**
 * @returns the reason instead when the table cannot be compared in this way.
 * @throws MigrationError as every step; not for an unreadable table or a statement that took too long.
 */
export async function compareChangedRows(
  sides: Sides,
  table: ChangedTable,
  withinMs: () => number,
): Promise<ChangedRows | string> {
  const readers = [sides.readers.source, sides.readers.target];
  try {
    for (const reader of readers) {
      await reader.query(/* sql */ `begin isolation level repeatable read read only`);
    }
    return await compareUnder(sides, table, withinMs);
  } catch (error) {
    if (error instanceof UnreadableTable) return error.reason;
    if (error instanceof TooOld) return 'too many transactions since the verification';
    if (isTimeout(error)) return NO_TIME;
    throw error;
  } finally {
    // A session that was cut fails here a second time; its first failure says why.
    for (const reader of readers) await reader.query(/* sql */ `rollback`).catch(() => undefined);
  }
}

async function compareUnder(
  sides: Sides,
  table: ChangedTable,
  withinMs: () => number,
): Promise<ChangedRows | string> {
  const [source, target] = await Promise.all([
    newVersions(sides, 'source', table, withinMs),
    newVersions(sides, 'target', table, withinMs),
  ]);
  if (source === null || target === null) return `more than ${MOST_ROWS} rows changed`;
  const keys = new Set([...source.keys(), ...target.keys()]);
  const alone = [...keys].filter((key) => !source.has(key) || !target.has(key));
  if (alone.length > MOST_LOOKUPS) {
    return `more than ${MOST_LOOKUPS} rows have a new version on one side only`;
  }
  let differing = 0;
  for (const [key, hash] of source) {
    const other = target.get(key);
    if (other !== undefined && other !== hash) differing += 1;
  }
  const here = await lookup(sides, 'source', table, withinMs);
  const there = await lookup(sides, 'target', table, withinMs);
  for (const key of alone) {
    // Each is a round trip: over a slow line they alone would overrun the box.
    if (withinMs() < 1) return NO_TIME;
    const [one, other] = await Promise.all([here(key), there(key)]);
    if (one !== other) differing += 1;
  }
  return { rows: keys.size, differing };
}

/** Half the circle of transaction numbers, less those of the next minutes. */
const MOST_TRANSACTIONS = 2 ** 31 - 10_000_000;

class TooOld extends Error {}

/** Limits each of the next statements. @returns whether numbers of rows still tell which of them are newer. */
async function begin(reader: Session, since: bigint, withinMs: number): Promise<boolean> {
  // At least a millisecond: 0 would be no limit.
  const { rows } = await reader.query<{ young: boolean }>(
    /* sql */ `
    select pg_catalog.set_config('statement_timeout', $1, false),
           pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::numeric - $2 < $3 as young`,
    [String(Math.max(1, Math.floor(withinMs))), since.toString(), MOST_TRANSACTIONS],
  );
  return rows[0]?.young === true;
}

/** Of the driver (a lookup), or classified (a read): either would undo the cutover instead of leaving out one table. */
function isTimeout(error: unknown): boolean {
  const state = error instanceof MigrationError ? error.details.sqlstate : sqlstate(error);
  return state === SQLSTATE.queryCanceled;
}

/** Hashes of the rows with a new version, by key; several of one key in their order. Null: too many. */
async function newVersions(
  sides: Sides,
  side: ComparedSide,
  { id, shape, since }: ChangedTable,
  withinMs: () => number,
): Promise<ReadonlyMap<string, string> | null> {
  const reader = sides.readers[side];
  const condition = writtenSince(since[side]);
  const found = new Map<string, string>();
  let rows = 0;
  for (const part of shape[side]) {
    if (!(await begin(reader, since[side], withinMs()))) throw new TooOld();
    const read = await readTable(
      ...([sides, side, { ...part, comparison: id, shape }] as const),
      (reading) =>
        someRowsOf(
          { ...reading, conditions: [...reading.conditions, condition] },
          MOST_ROWS - rows + 1,
        ),
      (statement) => reader.query<{ key: string; hash: string }>(statement),
    );
    rows += read.rows.length;
    if (rows > MOST_ROWS) return null;
    for (const { key, hash } of read.rows) found.set(key, joined(found.get(key), hash));
  }
  return found;
}

const joined = (before: string | undefined, hash: string): string =>
  before === undefined ? hash : [...before.split(' '), hash].sort().join(' ');

/**
 * SQL condition. Transaction numbers of rows have 32 bits and wrap: those in the half of the circle from `since` on are newer. A
 * row that is older by more than half the circle passes, too, and costs a comparison.
 */
function writtenSince(since: bigint): string {
  const base = since & 0xffff_ffffn;
  return /* sql */ `((t.xmin::text::bigint - ${base}) & 4294967295) < 2147483648`;
}

/** @returns a function that reads the hashes of all rows with a key; empty: there is none. */
async function lookup(
  sides: Sides,
  side: ComparedSide,
  { id, shape, since }: ChangedTable,
  withinMs: () => number,
): Promise<(key: string) => Promise<string>> {
  const reader = sides.readers[side];
  const hash = rowHash(shape.columns, sides.hashing);
  const selects: ((values: readonly string[]) => Promise<readonly { hash: string }[]>)[] = [];
  for (const part of shape[side]) {
    const failed = (error: unknown) => {
      throw readFailure(error, side, { ...part, comparison: id });
    };
    const matches = await keyCondition(reader, part, shape.key);
    const select = await sides.planning[side]
      .settled<{ hash: string }>(
        ...([reader, quoted(part)] as const),
        (condition, parameter) =>
          /* sql */ `select (${hash})::text as hash from only ${quoted(part)} t where ${matches(parameter)} and ${condition}`,
      )
      .catch(failed);
    selects.push(async (values) => (await select(values).catch(failed)).rows);
  }
  await begin(reader, since[side], withinMs());
  return async (key) => {
    const texts: unknown = JSON.parse(key);
    const values = Array.isArray(texts) ? texts.map(String) : [];
    let found: string | undefined;
    for (const select of selects) {
      for (const row of await select([...values, ...values])) found = joined(found, row.hash);
    }
    return found ?? '';
  };
}
