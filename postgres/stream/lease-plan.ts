/**
 * Reads what the stream knows about the tables: how each one is followed according to the drift check, the exported snapshots of
 * their copies, and what to do when a change shows that the source's catalog has changed.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type pg from 'pg';
import { compareLsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { NOTHING_IGNORED, type IgnorePatterns } from '../catalog/ignore-patterns.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import { readSchemaRows } from '../catalog/schema-row.ts';
import { literalSchemas, type Selection } from '../catalog/selection.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { filterEnd } from '../catalog/visibility.ts';
import { viewOf } from '../drift/catalog-view.ts';
import { checkDrift } from '../drift/drift-check.ts';
import { drift, resync } from '../drift/drift-failure.ts';
import { writeFenced } from '../drift/fenced-write.ts';
import { OTHER_FILE } from '../drift/follow.ts';
import { CatalogMoved, DRIFT_CHECKED } from '../drift/catalog-moved.ts';
import { readOutside } from '../drift/filtered-table.ts';
import type { Unsettled } from '../drift/table-mapping.ts';
import { insertOnlyFailure, warningFailure } from '../replication/stream-failure.ts';
import type { Attempt } from '../store/epoch.ts';
import { outdateSnapshots, readSnapshots } from '../store/exported-snapshot.ts';
import {
  readPlannedRelations,
  readPlannedSizes,
  type PlannedRelationRow,
} from '../store/planned-relation.ts';
import { storeDefinitions } from '../store/planned-definition.ts';
import { markForResync } from '../store/table-move.ts';
import { addRequest, readWithheld, storeWithheld, type Withheld } from '../store/withheld.ts';
import { copiedBy } from './already-copied.ts';
import { SeenTruncates } from './seen-truncate.ts';
import { markPosition } from './end-mark.ts';
import { ExcludedPartitions } from './excluded-partition.ts';
import { LeaseDoubt } from './lease-doubt.ts';
import { mappingsOf } from './lease-mapping.ts';
import type { StreamPlan } from './stream-plan.ts';
import { TruncatedTargets } from './truncated-target.ts';
import { refuseUnfinished } from './unfinished-table.ts';
import { unmatchedChange } from './unmatched-change.ts';
import { at, fullName, isSelectedNow, located, requireUnmoved } from './unsettled-table.ts';

/** Limit for names of short-lived tables that one plan excludes: over many leases they would pile up. */
const MOST_EXCLUDED = 1_000;
/**
 * Reads the plan and runs the drift check on it.
 * @param met the change that made this necessary, for messages.
 * @throws MigrationError like {@link checkDrift}; without an attempt, CatalogMoved if it would have to write, or finds DDL that
 *   the stream has to pass.
 */
export async function readPlan(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  parts: {
    readonly selection: Selection;
    readonly ignore?: IgnorePatterns;
    /** Null for a check in parallel to a running stream: it writes nothing. */
    readonly attempt: Pick<Attempt, 'epoch'> | null;
    readonly met: Unsettled | null;
    /** Whether a later plan will be compared with this one. */
    readonly compared?: boolean;
    /** Whether the plugin must omit every table that is not moved. */
    readonly leaveAll: boolean;
    /** Called with the current step. */
    readonly tell?: (what: string) => void;
    /** See `StreamOptions`. */
    readonly joined?: () => Promise<void>;
  },
): Promise<StreamPlan> {
  const {
    selection,
    ignore = NOTHING_IGNORED,
    attempt,
    met,
    leaveAll,
    compared = false,
    tell = () => undefined,
    joined = () => Promise.resolve(),
  } = parts;
  const turn = async (tables: number): Promise<void> => {
    tell(`comparing tables: ${tables}`);
    await nextTurn();
  };
  // Before the drift check: a table created after this query is in no list, and a table selected by then is removed from it.
  const outside = await readOutside(source, await readPlannedSizes(target, migration), leaveAll);
  const withheld = await readWithheld(target, migration);
  // Before the drift check, which flushes the source's WAL beyond everything that was read.
  const schemaRows = await readSchemaRows(source);
  const look = async () => {
    const planned = await readPlannedRelations(target, migration);
    await refuseUnfinished(target, migration, planned);
    const seen = await located(met, () =>
      checkDrift(source, target, migration, {
        ...{ rows: planned, selection, ignore, epoch: attempt?.epoch ?? null, withheld, turn },
      }),
    );
    return { rows: planned, checked: seen };
  };
  let { rows, checked } = await look();
  // New partitions are in the plan now, and are checked like all others.
  while (checked.grown) {
    tell('closing new partitions of the target');
    await joined();
    ({ rows, checked } = await look());
  }
  const { awaited } = checked;
  const schemaDoubt = await LeaseDoubt.read({ source, target }, migration, schemaRows, rows);
  const { doubt } = schemaDoubt;
  const moving = checked.settled.size > 0 || checked.ahead.length > 0 || doubt.any;
  if (attempt === null && (moving || awaited.size > 0)) throw new CatalogMoved(DRIFT_CHECKED, null);
  const snapshots = await readSnapshots(target, migration);
  let epoch = attempt?.epoch ?? null;
  const fenced = (write: () => Promise<void>): Promise<void> =>
    writeFenced(target, migration, epoch, write);
  // After the catalog was read: everything committed before that is before the mark.
  const mark = await schemaDoubt.begin(fenced, async () =>
    moving ? await markPosition(source, migration, 'local') : null,
  );
  if (checked.alike.size > 0) {
    await fenced(() => storeDefinitions(target, migration, checked.alike));
  }
  const schemas = doubt.any ? null : schemasOf(selection, rows, withheld);
  const wanted = new Set([...rows.map(keyOfName), ...checked.fingerprints.keys()]);
  const without = outside.tables.filter(
    (one) =>
      !wanted.has(keyOfName(one)) &&
      (schemas === null || schemas.includes(one.schema)) &&
      (!doubt.any || doubt.mayLeave(one)),
  );
  const next = addRequest(withheld, { schemas, without, from: outside.from });
  // A check without an attempt does not start the plugin.
  if (next !== withheld && attempt !== null)
    await fenced(() => storeWithheld(target, migration, next));
  tell('building table mappings');
  await nextTurn();
  const mappings = mappingsOf(rows, checked, snapshots);
  const view = compared
    ? await viewOf({ rows, checked, mappings, snapshots, schemas, schemaRows, turn })
    : null;
  const { leftOut } = mappings;
  /** Why, by table. */
  const again = new Map<number, string>();
  const rowOf = (table: Unsettled) =>
    rows.find(({ schema, name }) => schema === table.schema && name === table.table);
  const toResync = (table: Unsettled, reason: string): void => {
    const row = rowOf(table);
    if (row) again.set(row.id, reason);
  };
  const ofPlan = new Set(rows.map(({ schema }) => schema));
  const emptied = new SeenTruncates();
  const truncated = new TruncatedTargets();
  const excluded = new ExcludedPartitions(source, next);
  const noteResync = async (): Promise<void> => {
    if (again.size === 0) return;
    await fenced(async () => {
      await markForResync(target, migration, again);
      await outdateSnapshots(target, migration);
    });
  };
  return {
    mappings,
    newest: filterEnd(snapshots),
    marks: snapshots.flatMap(({ mark: of }) => of ?? []),
    schemas,
    without,
    leave: async (left) => {
      const selected =
        left.fingerprint !== null && (await isSelectedNow(source, { rows, selection }, left));
      if (selected) throw new CatalogMoved(nameOf(left), null);
      await excluded.met(left);
      mappings.leave(left);
    },
    schemaRows: new Map([...schemaRows].filter(([name]) => ofPlan.has(name))),
    doubt: doubt.any ? doubt : null,
    refuseDoubtful: () => {
      const byNumber = new Map(snapshots.map((one) => [one.number, one]));
      const found = doubt.suspects(({ pass }, xid, lsn) =>
        copiedBy(pass === null ? undefined : byNumber.get(pass))(xid, lsn),
      );
      if (found.length === 0) return;
      for (const { table, why } of found) again.set(table.id, why);
      throw resync([...new Set(found.map(({ why }) => why))]);
    },
    fingerprints: checked.fingerprints,
    types: checked.types,
    mark,
    stopsAtMark: checked.ahead.length > 0 || awaited.size > 0 || schemaDoubt.settles,
    get steady() {
      const added = mappings.leftOut - leftOut;
      const settled = mark === null && awaited.size === 0 && again.size === 0 && !emptied.any;
      return settled && added <= MOST_EXCLUDED;
    },
    renew: (next) => {
      epoch = next.epoch;
    },
    view,
    emptied,
    truncating: (changes) => truncated.met(changes),
    explained: async (xids) => {
      await truncated.store(target, migration, rows);
      await excluded.store(target, migration);
      if (!emptied.within(xids)) return;
      const definitions = await emptied.definitions(source, target, migration, nameOf, xids);
      if (definitions.size > 0) await storeDefinitions(target, migration, definitions);
    },
    explain: async (failure) => {
      const found = await unmatchedChange(source, { rows, checked }, failure);
      if (found === null) return failure;
      again.set(found.row.id, found.why);
      return resync([`${nameOf(found.row)} ${found.why}`]);
    },
    settle: async (table) => {
      const fingerprint = await requireUnmoved(source, { rows, selection, checked }, table);
      if (table.shapeMismatch === undefined) {
        const left = { schema: table.schema, name: table.table, fingerprint };
        await excluded.met(left);
        mappings.leave(left);
        return;
      }
      const row = rowOf(table);
      // Differences are recorded under the target's table.
      const { schema, name } = row
        ? destinationOf(row)
        : { schema: table.schema, name: table.table };
      const ahead = checked.ahead.filter((one) => one.schema === schema && one.table === name);
      if (ahead.length > 0) throw at(drift(ahead), table);
      // The change fits the row shape neither before nor after the DDL: the table was altered more than once.
      toResync(table, `has a change that ${table.shapeMismatch}`);
      throw resync([
        `${fullName(table)} has a change at ${table.commitLsn} that ${table.shapeMismatch}`,
      ]);
    },
    missed: (table) => {
      toResync(table, 'has changes that were not sent');
      const row = rowOf(table);
      const failure =
        row && checked.insertOnly.has(row.id)
          ? insertOnlyFailure(table.commitLsn, fullName(table))
          : warningFailure('01000', table.commitLsn, fullName(table));
      return Promise.reject(failure);
    },
    note: noteResync,
    passed: async (stored, reached) => {
      const past = mark !== null && compareLsn(stored, mark) >= 0;
      // In a cutover the mark is after the end mark, but the DDL may be before it, and no change has to show it.
      if (checked.ahead.length > 0 && (past || reached)) throw drift(checked.ahead);
      const explained = await emptied.definitions(source, target, migration, nameOf);
      const open = rows.filter((row) => {
        const xid = awaited.get(row.id);
        return xid !== undefined && !emptied.has(nameOf(row), xid);
      });
      const isOpen = new Set(open.map(({ id }) => id));
      const settled = [...checked.settled]
        .filter(([id]) => past && !isOpen.has(id))
        .map(([id, definition]) => [id, truncated.withFile(id, definition)] as const);
      const definitions = new Map([...explained, ...settled]);
      if (definitions.size > 0)
        await fenced(() => storeDefinitions(target, migration, definitions));
      await schemaDoubt.passed(stored, fenced);
      if (open.length === 0 || !(past || reached)) return;
      for (const id of isOpen) again.set(id, OTHER_FILE);
      await noteResync();
      throw resync(open.map((row) => `${nameOf(row)} ${OTHER_FILE}`));
    },
  };
}

/** Whole schemas, including those of all planned tables: a partition may be in another schema than its parent. */
function schemasOf(
  selection: Selection,
  rows: readonly PlannedRelationRow[],
  withheld: Withheld | null,
): string[] | null {
  const literal = literalSchemas(selection);
  if (literal === null) return null;
  // A schema that was ever selected stays selected: withheld.ts relies on it.
  const before = Object.keys(withheld?.asked ?? {});
  return [...new Set([...literal, ...rows.map(({ schema }) => schema), ...before])];
}
