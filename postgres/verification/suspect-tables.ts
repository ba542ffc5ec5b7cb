/**
 * Names the rows of the tables whose sums differ. A key counts as different only if it differs at two anchors: a write by somebody
 * else that was undone, or anything else that does not persist, is no difference of the databases.
 */
import type pg from 'pg';
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

/**
 * Scans the tables: at one anchor, or at further ones when limits or guard let nothing begin. Nothing waits while an anchor is held,
 * because vacuum removes nothing then.
 * @returns by the table's number; a table that changed after its anchor, or stays locked, has no entry.
 * @throws what holding an anchor throws.
 */
export async function scanAtAnchor(
  target: pg.ClientBase,
  place: Verified,
  scans: readonly KeyScan[],
  { sides, work, states, pace }: ScanParts,
): Promise<Map<number, FoundKeys>> {
  const found = new Map<number, FoundKeys>();
  const left = [...scans];
  const scanUnder = async (state: HeldState, over: AbortSignal) => {
    const { source, target: reader } = sides.readers;
    const anchor = await recordedState(sides.readers, state);
    if (anchor !== null) await recordAnchor(target, place, anchor);
    await whileWatched(
      [source, reader],
      work,
      () => ({ step: NAMING }),
      async () => {
        // One each time, so that it ends.
        for (
          let next = left.shift();
          next;
          next = over.aborted || !pace.isFree ? undefined : left.shift()
        ) {
          const begun =
            anchor !== null &&
            (await beginUnderState(source, 'source', anchor)) &&
            (await beginUnderState(reader, 'target', anchor));
          const keys = begun ? await collect(sides, next, work) : null;
          await source.query(/* sql */ `rollback`);
          await reader.query(/* sql */ `rollback`);
          if (keys === null) continue;
          found.set(next.table.id, keys);
          // One statement has read the whole table: it could not be held back in its middle.
          pace.read(next.table.bytes);
        }
      },
    );
  };
  while (left.length > 0) {
    await pace.ready();
    await states.hold(place.migration, work, scanUnder);
  }
  return found;
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

/** Looks for the keys at one anchor, and for those that it found at a second one; stores what differs at both. */
export async function nameDifferences(
  target: pg.ClientBase,
  place: Verified,
  tables: readonly SuspectTable[],
  how: ScanParts,
): Promise<void> {
  if (tables.length === 0) return;
  const first = await scanAtAnchor(
    target,
    place,
    tables.map((table) => ({ table, buckets: table.buckets, keys: null })),
    how,
  );
  const candidates = tables.filter(({ id }) => (first.get(id)?.counted ?? 0) > 0);
  const second =
    candidates.length === 0
      ? new Map<number, FoundKeys>()
      : await scanAtAnchor(
          target,
          place,
          candidates.map((table) => ({
            table,
            buckets: table.buckets,
            keys: first.get(table.id)?.differences.map(({ key }) => key) ?? [],
          })),
          how,
        );
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
