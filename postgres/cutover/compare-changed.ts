/**
 * The check within the box: rows that changed since the last verification, at the drained state. Together they say of the tables of
 * the verification that every row is the same: those that did not change were compared by it. Tables that joined since are named, not
 * compared. It takes a part of the time that the writes may be stopped and no more; tables that are left then are named, too, and a
 * difference undoes the cutover.
 */
import { MOST_NOT_CHECKED, type ChangedReport } from '../../contract/cutover.ts';
import { MigrationError } from '../../contract/failure.ts';
import { grouped } from '../../contract/grouped.ts';
import { listed } from '../../contract/listed.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { parseSnapshot } from '../catalog/visibility.ts';
import { readLeaves } from '../catalog/leaf-partition.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import type { TableName } from '../catalog/selection.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { classify } from '../connection/failure.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { readPlannedSizes } from '../store/planned-relation.ts';
import {
  readAnchor,
  readNewestEnded,
  readVerification,
  type RecordedAnchor,
  type Verified,
} from '../store/verification.ts';
import { readVerifiedTables, type VerifiedTable } from '../store/verification-table.ts';
import { openSides, type Sides } from '../verification/sides.ts';
import { compareChangedRows, NO_TIME, type ChangedTable } from './changed-rows.ts';

/** As many as count rows (compare-counts.ts). */
const MOST_PAIRS = 4;
const SHOWN = 10;

/**
 * @param milliseconds after which no further table is read.
 * @param judged false: only to measure how long it takes; rows in flight may differ.
 * @throws MigrationError `NotEqual` naming tables and how many of their rows differ.
 */
export async function compareChanged(
  migration: Migration,
  input: MigrationInput,
  { milliseconds, judged = true }: { readonly milliseconds: number; readonly judged?: boolean },
  work: Work,
): Promise<ChangedReport> {
  const ends = performance.now() + milliseconds;
  const { signal } = work;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    const verification = await readNewestEnded(target, migration);
    if (verification === null) return { since: null, tables: 0, rows: 0, notCompared: [] };
    const place = { migration, verification };
    const { comparable, not } = await readComparable(target, place);
    const pairs: Sides[] = [];
    const found = { tables: 0, rows: 0, not: [...not] };
    const differing: string[] = [];
    try {
      while (pairs.length < Math.min(MOST_PAIRS, input.copy.parallelism, comparable.length)) {
        pairs.push(await openSides(migration, target, signal));
      }
      const waiting = [...comparable];
      const compare = async (sides: Sides) => {
        for (let next = waiting.shift(); next; next = waiting.shift()) {
          signal.throwIfAborted();
          const left = () => ends - performance.now();
          const rows = left() < 1 ? NO_TIME : await compareChangedRows(sides, next.table, left);
          if (typeof rows === 'string') {
            found.not.push(`${next.name}: ${rows}`);
            continue;
          }
          found.tables += 1;
          found.rows += rows.rows;
          if (rows.differing > 0) differing.push(`${next.name} (${rows.differing})`);
        }
      };
      await whileWatched(
        pairs.flatMap(({ readers }) => [readers.source, readers.target]),
        work,
        () => ({ step: 'comparing changed rows', tables: found.tables, of: comparable.length }),
        () => Promise.all(pairs.map(compare)),
      );
    } finally {
      for (const one of pairs) await one[Symbol.asyncDispose]();
    }
    if (judged && differing.length > 0) throw notEqual(differing);
    const since = (await readVerification(target, place))?.lsn ?? null;
    return reportOf(since, found);
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'comparing changed rows' }, 'NotEqual');
  }
}

interface Comparable {
  readonly name: string;
  readonly table: ChangedTable;
}

/** Small tables first: what is left when the time is over is little by number, and named. */
async function readComparable(
  target: Session,
  place: Verified,
): Promise<{ readonly comparable: readonly Comparable[]; readonly not: readonly string[] }> {
  const tables = await readVerifiedTables(target, place);
  const anchors = new Map<string, RecordedAnchor | null>();
  const comparable: Comparable[] = [];
  const planned = await readParts(target, place);
  const verified = new Set(tables.map(keyOfName));
  // Also one that was a partition of a table of the verification and is on its own now.
  const not = [...planned].flatMap(([key, parts]) =>
    verified.has(key) ? [] : parts.map((one) => `${nameOf(one)}: new since the verification`),
  );
  const regrown = await readRegrown(target, tables);
  for (const table of [...tables].sort((a, b) => a.bytes - b.bytes)) {
    const source = planned.get(keyOfName(table)) ?? [];
    const why =
      whyNot(table) ?? (source.length === 0 ? GONE : regrown.has(table.id) ? REGROWN : null);
    const id = table.anchor ?? '';
    if (!anchors.has(id)) anchors.set(id, await readAnchor(target, place, id));
    const anchor = anchors.get(id);
    const { shape } = table;
    if (why !== null || !anchor || shape === null || shape.key === null) {
      not.push(`${nameOf(table)}: ${why ?? 'it was not compared'}`);
      continue;
    }
    const { source: here, target: there } = anchor.snapshots;
    const since = { source: oldest(here.visible), target: oldest(there.visible) };
    const { key } = shape;
    comparable.push({
      name: nameOf(table),
      table: { id: table.id, shape: { ...shape, source, key }, since },
    });
  }
  return { comparable, not };
}

/**
 * The source's tables, by the target's table for their rows. Its tree may have changed since the verification: all rows of a
 * partition that was created in its place are new, and any other change copied the whole table again, so that all of its rows are
 * new on the target. In both cases the present partitions hold every row to compare.
 */
async function readParts(
  target: Session,
  { migration }: Verified,
): Promise<ReadonlyMap<string, readonly TableName[]>> {
  const planned = await readPlannedSizes(target, migration);
  const tables = planned.filter(({ kind, state }) => kind === 'r' && state !== 'absent');
  return grouped(tables, (one) => keyOfName(destinationOf(one)));
}

const GONE = 'it is not moved any more';
const REGROWN = 'its partitions on the target are not those of the verification';

/**
 * Tables whose rows are in other tables of the target now, because its own tree has changed: rows in a new partition would look
 * missing, and the cutover would be undone for a difference that does not exist.
 */
async function readRegrown(
  target: Session,
  tables: readonly VerifiedTable[],
): Promise<ReadonlySet<number>> {
  const compared = tables.filter(({ shape }) => shape !== null);
  const leaves = await readLeaves(target, compared, ['r', 'f']);
  const partsOf = (parts: readonly TableName[] = []): string =>
    JSON.stringify(parts.map(keyOfName).sort());
  const changed = compared.filter(
    (one) => partsOf(leaves.get(keyOfName(one))) !== partsOf(one.shape?.target),
  );
  return new Set(changed.map(({ id }) => id));
}

function whyNot({ state, reason, shape }: VerifiedTable): string | null {
  if (state !== 'equal' && state !== 'different') return reason ?? 'it was not compared';
  return shape?.key === null ? 'it has no key' : null;
}

/** Every transaction before it had ended when the snapshot was taken. Subtransactions are later than their parents. */
const oldest = (visible: string): bigint => parseSnapshot(visible).xmin;

function reportOf(
  since: Lsn | null,
  { tables, rows, not }: { tables: number; rows: number; not: readonly string[] },
): ChangedReport {
  const more = not.length - MOST_NOT_CHECKED;
  const notCompared = not.slice(0, MOST_NOT_CHECKED);
  return { since, tables, rows, notCompared, ...(more > 0 ? { more } : {}) };
}

function notEqual(differing: readonly string[]): MigrationError {
  const [first = ''] = differing;
  return new MigrationError(
    'NotEqual',
    `rows that changed since the last verification differ, by table and number of keys: ${listed(differing, SHOWN)}; call verify, which stores their keys, then repair`,
    { table: first.slice(0, first.lastIndexOf(' (')) },
  );
}
