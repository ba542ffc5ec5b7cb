/**
 * Names the rows of the tables whose sums differ. A key counts as different only if it differs at two anchors: a write by somebody
 * else that was undone, or anything else that does not persist, is no difference of the databases.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { MOST_DIFFERENT_KEYS } from '../../contract/verification.ts';
import type { Work } from '../../contract/work.ts';
import { nameOf } from '../catalog/table-name.ts';
import { whileWatched } from '../session/liveness.ts';
import { recordAnchor, type Verified } from '../store/verification.ts';
import { storeDifferences, type RowDifference } from '../store/verification-difference.ts';
import { skipTables, type VerifiedTable } from '../store/verification-table.ts';
import type { TableShape } from '../store/verification-shape.ts';
import type { Pace } from './guarded-run.ts';
import type { HeldState, StateSource } from './held-state.ts';
import type { KeyDifference } from './key-merge.ts';
import { scanKeys, type KeyScan } from './key-scan.ts';
import type { Sides } from './sides.ts';
import { beginUnderState, recordedState } from './under-state.ts';

/** Beyond this many keys of one table, the rest is not looked for: one wrong assumption about a table makes all of its rows differ. */
export const MOST_COUNTED_KEYS = 100_000;

/** What heartbeats show. */
export const NAMING = 'looking for rows that differ';

export interface ScanParts {
  readonly sides: Sides;
  readonly work: Work;
  readonly states: StateSource;
  readonly pace: Pace;
}

export interface SuspectTable extends VerifiedTable {
  readonly shape: TableShape;
}

/** What a scan of one table found. */
export interface FoundKeys {
  readonly differences: readonly KeyDifference[];
  /** All that differ, up to {@link MOST_COUNTED_KEYS}. */
  readonly counted: number;
}

/** By the table's number; a table that changed after its anchor, or stays locked, has no entry. */
type Found = Map<number, FoundKeys>;

/** An anchor may end before its first table is read, because an owner of it was killed. */
const MOST_UNREAD_ANCHORS = 3;

/**
 * Scans the tables at one anchor, at further ones when limits or guard let nothing begin. Nothing waits while an anchor is held,
 * because vacuum removes nothing then.
 * @throws what holding an anchor throws; MigrationError `Contention` when one anchor after another ended at once.
 */
export async function scanAtAnchor(
  target: pg.ClientBase,
  place: Verified,
  scans: readonly KeyScan[],
  parts: ScanParts,
): Promise<Found> {
  const found: Found = new Map();
  for (let left = scans; left.length > 0;) {
    const scanned = await scanSome(target, place, left, parts);
    for (const [id, keys] of scanned.found) found.set(id, keys);
    left = left.slice(scanned.tables);
  }
  return found;
}

/** The first of the tables at one anchor: at least one, and as many as limits and guard let begin. */
async function scanSome(
  target: pg.ClientBase,
  place: Verified,
  scans: readonly KeyScan[],
  { sides, work, states, pace }: ScanParts,
): Promise<{ readonly tables: number; readonly found: Found }> {
  const { source, target: reader } = sides.readers;
  const found: Found = new Map();
  let tables = 0;
  const scanUnder = async (state: HeldState, over: AbortSignal) => {
    const anchor = await recordedState(sides.readers, state);
    if (anchor === null) return;
    await recordAnchor(target, place, anchor);
    const scanAll = async () => {
      for (const scan of scans) {
        if (tables > 0 && (over.aborted || !pace.isFree)) return;
        const isReadable =
          (await beginUnderState(source, 'source', anchor)) &&
          (await beginUnderState(reader, 'target', anchor));
        const keys = isReadable ? await collect(sides, scan, work) : null;
        await source.query(/* sql */ `rollback`);
        await reader.query(/* sql */ `rollback`);
        // The anchor is over, and no one has looked at the table.
        if (!isReadable) return;
        tables += 1;
        if (keys === null) continue;
        found.set(scan.table.id, keys);
        // One statement has read the whole table: it could not be held back in its middle.
        pace.read(scan.table.bytes);
      }
    };
    await whileWatched([source, reader], work, () => ({ step: NAMING }), scanAll);
  };
  for (let anchors = 0; tables === 0; anchors += 1) {
    if (anchors === MOST_UNREAD_ANCHORS) throw unread();
    await pace.ready();
    await states.hold(place.migration, work, scanUnder);
  }
  return { tables, found };
}

function unread(): MigrationError {
  return new MigrationError(
    'Contention',
    `${MOST_UNREAD_ANCHORS} anchors ended before a table could be read at them`,
  );
}

async function collect(sides: Sides, scan: KeyScan, work: Work): Promise<FoundKeys | null> {
  const found = await scanKeys(sides, scan, work);
  if (found === null) return null;
  const differences: KeyDifference[] = [];
  let counted = 0;
  for await (const one of found) {
    counted += 1;
    if (differences.length < MOST_DIFFERENT_KEYS) differences.push(one);
    if (counted >= MOST_COUNTED_KEYS) break;
  }
  return { differences, counted };
}

/**
 * Looks for the keys at one anchor, and for those that it found at a second one; stores what differs at both. In batches, so that an
 * attempt that fails has not read all for nothing.
 */
export async function nameDifferences(
  target: pg.ClientBase,
  place: Verified,
  tables: readonly SuspectTable[],
  how: ScanParts,
): Promise<void> {
  for (let left = tables; left.length > 0;) {
    const scans = left.map((table) => ({ table, buckets: table.buckets, keys: null }));
    const { tables: scanned, found } = await scanSome(target, place, scans, how);
    await confirmDifferences(target, place, left.slice(0, scanned), { ...how, first: found });
    left = left.slice(scanned);
  }
}

async function confirmDifferences(
  target: pg.ClientBase,
  place: Verified,
  tables: readonly SuspectTable[],
  { first, ...how }: ScanParts & { readonly first: Found },
): Promise<void> {
  const candidates = tables.filter(({ id }) => (first.get(id)?.counted ?? 0) > 0);
  const again = candidates.map((table) => {
    const keys = first.get(table.id)?.differences.map(({ key }) => key) ?? [];
    return { table, buckets: table.buckets, keys };
  });
  const second = await scanAtAnchor(target, place, again, how);
  for (const table of tables) {
    const before = first.get(table.id);
    const after = before?.counted === 0 ? before : second.get(table.id);
    if (!before || !after) {
      await skipTables(target, place, [table.id], CHANGED);
      continue;
    }
    const unlisted = before.counted - before.differences.length;
    const confirmed = after.differences.map((one) => rowDifference(table.shape, one));
    // What is only counted was not looked at again; it counts as long as what was listed persists.
    const counted = confirmed.length + (confirmed.length > 0 ? unlisted : 0);
    await storeDifferences(target, place, table.id, {
      ...{ differences: confirmed, counted, more: counted > confirmed.length },
    });
    if (before.counted === 0 || confirmed.length < before.differences.length) {
      how.work.log.warn('rows differed at one anchor and not at the next', {
        table: nameOf(table),
        rows: before.differences.length - confirmed.length,
      });
    }
  }
}

const CHANGED = 'was rewritten or locked while its differences were looked for';

/** A key as it is stored: the texts of its columns by name. */
export function rowDifference(shape: TableShape, { key, ...found }: KeyDifference): RowDifference {
  if (shape.key === null) return { ...found, key: null, hash: key };
  const texts: unknown = JSON.parse(key);
  const values = Array.isArray(texts) ? texts.map(String) : [];
  return {
    ...found,
    key: Object.fromEntries(
      shape.key.map((name, at): [string, string] => [name, values[at] ?? '']),
    ),
    hash: null,
  };
}

/** The reverse: the text that a scan has for the key. Built as PostgreSQL prints an array of texts as JSON. */
export function keyText(shape: TableShape, difference: RowDifference): string {
  return shape.key === null
    ? (difference.hash ?? '')
    : JSON.stringify(keyValues(shape.key, difference));
}

/** @throws TypeError for a key that lacks a column: an empty text in its place would find another row. */
export function keyValues(
  columns: readonly string[],
  { key }: Pick<RowDifference, 'key'>,
): string[] {
  return columns.map((name) => {
    const value = key?.[name];
    if (value === undefined) throw new TypeError('a stored key lacks a column');
    return value;
  });
}
