/**
 * What the stream knows about the tables: how each one is followed according to the drift check, the exported snapshots of
 * their copies, and what to do when a change shows that the source's catalog has changed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError, type FailureCode } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Change, PlannedRelation } from '../apply/change.ts';
import { readKeepers, type Keeper } from '../catalog/table-file.ts';
import { isTableSelected, readRelationsNamed, type Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf } from '../catalog/root.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { literalSchemas, type Selection, type TableName } from '../catalog/selection.ts';
import { NOTHING_IGNORED, type IgnorePatterns } from '../catalog/ignored.ts';
import { compareDefinitions, lookAt, readDefinitions } from '../catalog/table-definition.ts';
import { readNamed, readSchemaRows, sameRows, type SchemaRows } from '../catalog/schema-row.ts';
import { holdEpoch, type Attempt } from '../store/epoch.ts';
import { outdateSnapshots, readSnapshots } from '../store/exported-snapshot.ts';
import {
  storeDefinitions,
  storeKeepers,
  type PlannedDefinition,
} from '../store/planned-definition.ts';
import {
  readPlannedRelations,
  readPlannedSizes,
  readUnfinished,
  type PlannedRelationRow,
} from '../store/planned-relation.ts';
import { markForResync } from '../store/table-move.ts';
import { readRecordedSchemas, recordSchemas } from '../store/recorded-schema.ts';
import {
  addLeft,
  addRequest,
  readWithheld,
  storeWithheld,
  type Withheld,
} from '../store/withheld.ts';
import { markPosition } from './end-mark.ts';
import { insertOnlyFailure, warningFailure } from '../replication/stream-failure.ts';
import {
  filterEnd,
  isVisible,
  parseSnapshot,
  type ExportedSnapshot,
} from '../catalog/visibility.ts';
import { checkDrift, resync, drift, type DriftCheck } from '../drift/drift-check.ts';
import { Doubt } from '../drift/doubt.ts';
import { Emptied } from './emptied.ts';
import {
  TableMappings,
  type Left,
  type TableMapping,
  type Unsettled,
} from '../drift/table-mapping.ts';
import { OTHER_FILE, type Followed } from '../drift/follow.ts';
import { DRIFT_CHECKED, CatalogMoved } from '../drift/moved.ts';
import type { WatchedTypes } from '../drift/followed-type.ts';
import type { Mark } from '../replication/flush.ts';
import { readOutside } from '../drift/outside.ts';
import { viewOf } from '../drift/catalog-view.ts';

const BYTEA_OID = 17;
/** SQLSTATE of a text that is not valid for its type. */
const INVALID_TEXT = '22P02';
const VISIBLE_MS = 5_000;
const VISIBLE_POLL_MS = 20;
/** Limit for names of short-lived tables that one plan excludes: over many leases they would pile up. */
const MOST_EXCLUDED = 1_000;
const OLDER_TYPE = 'that its type no longer has on either side';
/** Failures of a change that finds other rows than expected. */
const UNLIKE: ReadonlySet<FailureCode> = new Set(['RowMissing', 'ChangeFailed']);

export interface StreamPlan {
  readonly mappings: TableMappings;
  /** Position of the latest exported snapshot: commits at or after it are in no copy. Null when nothing was copied. */
  readonly newest: Lsn | null;
  /** Marks of the exported snapshots, in no order. */
  readonly marks: readonly Mark[];
  /** Schemas that the plugin selects; null for all. */
  readonly schemas: readonly string[] | null;
  /** Tables that the plugin omits. */
  readonly without: readonly TableName[];
  /** Continues to exclude a name that now belongs to another table. @throws CatalogMoved when that table is selected. */
  leave(left: Left): Promise<void>;
  /** Catalog rows of the tables' schemas, for the check before a commit. */
  readonly schemaRows: SchemaRows;
  /** Null when no schema's row was written since the stored ones. */
  readonly doubt: Pick<Doubt, 'met' | 'committed'> | null;
  /** @throws MigrationError `Resync` when changes so far may have arrived under a wrong name. */
  refuseDoubtful(): void;
  /** Fingerprints of the tables on the source, for the check before a commit. */
  readonly fingerprints: ReadonlyMap<string, string>;
  /** The tables' types, for the same check. */
  readonly types: WatchedTypes;
  /** LSN after which nothing from before the drift check can arrive; null when no DDL was found. */
  readonly mark: Lsn | null;
  /** Whether the stream must stop at the mark: the target lacks DDL from before it, or a TRUNCATE must have arrived by then. */
  readonly stopsAtMark: boolean;
  /**
   * Decides about a table without a mapping, or a shape mismatch. Writes nothing: it is called while a batch is open on the
   * target's session, where a `commit` would make half of that batch visible.
   * @throws CatalogMoved, or like the drift check.
   */
  settle(table: Unsettled): Promise<void>;
  /**
   * Whether the plan is also valid for another lease: it contains no DDL that the stream may not have reached yet, and nothing
   * arrived that changes a stored definition.
   */
  readonly steady: boolean;
  /** From now on writes under the epoch of the lease that continues with the plan. */
  renew(attempt: Pick<Attempt, 'epoch'>): void;
  /** Digest of the whole plan, to compare it with a later one; null unless `compared` was set. */
  readonly view: string | null;
  /** TRUNCATEs that arrived. */
  readonly emptied: Emptied;
  /** Notes which tables TRUNCATEs among these changes give a new file on the target. */
  truncating(changes: readonly Change[]): void;
  /**
   * Stores which new files are explained by TRUNCATEs of these transactions, the target's new files, and excluded partitions.
   * Uses the open transaction that also stores their position: no later lease receives them again.
   */
  explained(xids: ReadonlySet<number>): Promise<void>;
  /**
   * Finds the reason for a change that found no row: the table may have had changes that were never sent, and then a resync fixes
   * it. Only without an open transaction on the target.
   * @returns the failure to report.
   */
  explain(failure: unknown): Promise<unknown>;
  /** Ends the stream for a table whose changes were not sent; writes nothing. @throws MigrationError `StreamWarning`. */
  missed(table: Unsettled): Promise<never>;
  /**
   * Marks the tables that earlier calls found for a resync. Only without an open transaction on the target.
   * @throws MigrationError `Fenced`.
   */
  note(): Promise<void>;
  /**
   * Must be called with the stored position when a lease has ended.
   * @param reached whether `until` was reached: after a drain, no stream reaches the mark.
   * @throws MigrationError `SchemaDrift`; `Resync` when a TRUNCATE that would explain a table's new file did not arrive.
   */
  passed(stored: Lsn, reached: boolean): Promise<void>;
}

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
    await refuseLostMarks(target, migration, planned);
    const seen = await located(met, () =>
      checkDrift(source, target, migration, {
        ...{ rows: planned, selection, ignore, epoch: attempt?.epoch ?? null, withheld, turn },
      }),
    );
    return { rows: planned, checked: seen };
  };
  let { rows, checked } = await look();
  // New partitions are in the plan now, and are checked like all others.
  while (checked.grown) ({ rows, checked } = await look());
  const { awaited } = checked;
  const recorded = await readRecordedSchemas(target, migration);
  const doubt = new Doubt(
    recorded,
    schemaRows,
    rows.filter(({ kind }) => kind === 'r'),
  );
  if (doubt.any) doubt.rivals(await readNamed(source, doubt.wanted));
  const moving = checked.settled.size > 0 || checked.ahead.length > 0 || doubt.any;
  if (attempt === null && (moving || awaited.size > 0)) throw new CatalogMoved(DRIFT_CHECKED, null);
  // After the catalog was read: everything committed before that is before the mark.
  const mark = moving ? await markPosition(source, migration) : null;
  doubt.until(mark);
  const snapshots = await readSnapshots(target, migration);
  let epoch = attempt?.epoch ?? null;
  const fenced = async (write: () => Promise<void>): Promise<void> => {
    if (epoch === null) throw new CatalogMoved(DRIFT_CHECKED, null);
    await target.query(/* sql */ `begin`);
    try {
      await holdEpoch(target, migration, epoch);
      await write();
      await target.query(/* sql */ `commit`);
    } catch (error) {
      await target.query(/* sql */ `rollback`).catch(() => undefined);
      throw error;
    }
  };
  if (checked.alike.size > 0) {
    await fenced(() => storeDefinitions(target, migration, checked.alike));
  }
  // Without a suspicion, no planned table had another name, whatever happened to other schemas.
  if (!doubt.any && (recorded === null || !sameRows(recorded, schemaRows))) {
    await fenced(() => recordSchemas(target, migration, schemaRows));
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
  const emptied = new Emptied();
  /** Target tables truncated in the open transaction; `remade` has the new files of those in committed ones. */
  const truncated = new Set<string>();
  const remade = new Map<number, Keeper>();
  /** Partitions with excluded changes, to be stored with the position of these: they may be selected later. */
  const excludedPartitions: TableName[] = [];
  let known: Withheld | null = next;
  const noteExcluded = async (left: Left): Promise<void> => {
    if (left.fingerprint !== null && (await isPartition(source, left)))
      excludedPartitions.push(left);
  };
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
      await noteExcluded(left);
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
    stopsAtMark: checked.ahead.length > 0 || awaited.size > 0 || doubt.any,
    get steady() {
      const excluded = mappings.leftOut - leftOut;
      const settled = mark === null && awaited.size === 0 && again.size === 0 && !emptied.any;
      return settled && excluded <= MOST_EXCLUDED;
    },
    renew: (next) => {
      epoch = next.epoch;
    },
    view,
    emptied,
    truncating: (changes) => {
      for (const change of changes) {
        if (change.kind !== 'truncate') continue;
        for (const { schema, name, destination } of change.relations) {
          // A partition via root is emptied by a DELETE in its root, which keeps the files: a new file has another reason.
          if (destination === undefined) truncated.add(keyOfName({ schema, name }));
        }
      }
    },
    explained: async (xids) => {
      if (truncated.size > 0) {
        const made = await keepersOf(target, rows, truncated);
        await storeKeepers(target, migration, made);
        for (const [id, keeper] of made) remade.set(id, keeper);
        truncated.clear();
      }
      if (excludedPartitions.length > 0) {
        known = addLeft(known, excludedPartitions.splice(0));
        await storeWithheld(target, migration, known);
      }
      if (!emptied.within(xids)) return;
      const definitions = await emptied.definitions(source, target, migration, nameOf, xids);
      if (definitions.size > 0) await storeDefinitions(target, migration, definitions);
    },
    explain: async (failure) => {
      if (!(failure instanceof MigrationError) || !UNLIKE.has(failure.code)) return failure;
      const row = rows.find((one) => nameOf(one) === failure.details.table);
      const now = row && (await readDefinitions(source, [row.oid])).get(row.oid);
      if (!row?.definition || !now) return failure;
      if (failure.details.sqlstate === INVALID_TEXT && outgrown(row, checked)) {
        again.set(row.id, `has a label or row ${OLDER_TYPE}`);
        const at = failure.details.lsn ?? 'a position before the last check';
        return resync([`${nameOf(row)} has a change at ${at} with a label or row ${OLDER_TYPE}`]);
      }
      const { opaque, replaced } = compareDefinitions(row.definition.source, now);
      // Also if a TRUNCATE arrived since then: the change may be from before it.
      if (opaque === null && !replaced) return failure;
      again.set(row.id, opaque ?? OTHER_FILE);
      return resync([`${nameOf(row)} ${opaque ?? OTHER_FILE}`]);
    },
    settle: async (table) => {
      const fingerprint = await requireUnmoved(source, { rows, selection, checked }, table);
      if (table.shapeMismatch === undefined) {
        const left = { schema: table.schema, name: table.table, fingerprint };
        await noteExcluded(left);
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
        .map(([id, definition]) => [id, withKeeper(definition, remade.get(id))] as const);
      const definitions = new Map([...explained, ...settled]);
      if (definitions.size > 0)
        await fenced(() => storeDefinitions(target, migration, definitions));
      if (doubt.any && past) await fenced(() => recordSchemas(target, migration, schemaRows));
      if (open.length === 0 || !(past || reached)) return;
      for (const id of isOpen) again.set(id, OTHER_FILE);
      await noteResync();
      throw resync(open.map((row) => `${nameOf(row)} ${OTHER_FILE}`));
    },
  };
}

/** The new files of truncated target tables, by plan number. */
async function keepersOf(
  target: pg.ClientBase,
  rows: readonly PlannedRelationRow[],
  names: ReadonlySet<string>,
): Promise<Map<number, Keeper>> {
  const found = rows.filter((row) => row.definition && names.has(keyOfName(destinationOf(row))));
  const tables = await readRelationsNamed(target, destinationsOf(found));
  const oids = new Map(tables.map((one) => [keyOfName(one), one.oid]));
  const keepers = await readKeepers(target, [...oids.values()]);
  return new Map(
    found.flatMap((row) => {
      const keeper = keepers.get(oids.get(keyOfName(destinationOf(row))) ?? 0);
      return keeper ? [[row.id, keeper] as const] : [];
    }),
  );
}

function withKeeper(definition: PlannedDefinition, keeper: Keeper | undefined): PlannedDefinition {
  return keeper ? { ...definition, keeper } : definition;
}

/** Refuses a target that lost committed work in a crash: tables that were complete are unfinished again. */
async function refuseLostMarks(
  target: pg.ClientBase,
  migration: Migration,
  rows: readonly PlannedRelationRow[],
): Promise<void> {
  const unfinished = new Set(await readUnfinished(target, migration, null));
  const again = rows.filter(({ id, state }) => unfinished.has(id) && state !== 'copying');
  if (unfinished.size > again.length) {
    throw new MigrationError(
      'CheckpointMissing',
      `${unfinished.size - again.length} copied tables are no longer complete on "${migration.target}": it lost committed transactions`,
    );
  }
  const begun = again.filter(({ state }) => state === 'pending');
  if (begun.length > 0) {
    throw resync(begun.map(({ schema, name }) => `${schema}.${name} is new in the selection`));
  }
}

/**
 * Whether the target's types are newer than a change that they refuse: labels or attributes were added since the copy, the target
 * has all of them, and the change is from before one was renamed or added. It would be refused forever.
 */
function outgrown(row: PlannedRelationRow, { ahead, alike, settled }: DriftCheck): boolean {
  const types = (alike.get(row.id) ?? settled.get(row.id) ?? row.definition)?.types;
  const { schema, name } = destinationOf(row);
  if (ahead.some((one) => one.schema === schema && one.table === name)) return false;
  return Object.values(types?.source ?? {}).some(({ grown }) => grown);
}

function mappingsOf(
  rows: readonly PlannedRelationRow[],
  { followed, fingerprints, unlogged, intervals }: DriftCheck,
  snapshots: readonly ExportedSnapshot[],
): TableMappings {
  const byNumber = new Map(snapshots.map((pass) => [pass.number, pass]));
  const mappings = new TableMappings();
  for (const row of rows) {
    // A partitioned table holds no rows; a TRUNCATE lists it together with its leaves, which are enough.
    if (row.kind !== 'p' && !unlogged.has(row.id)) continue;
    const { schema, name } = row;
    mappings.leave({ schema, name, fingerprint: fingerprints.get(keyOfName(row)) ?? null });
  }
  for (const one of followed) {
    const { row } = one;
    if (row.pass === null) continue;
    const mapping = mappingOf(one, byNumber.get(row.pass), intervals.get(row.id));
    mappings.set(row.schema, row.name, mapping);
    // All partitions via root share one exported snapshot: whether it includes a TRUNCATE of the root is the same for each.
    if (row.viaRoot)
      mappings.set(row.viaRoot.schema, row.viaRoot.name, rootMapping(row.viaRoot, mapping));
  }
  return mappings;
}

/** The root itself receives only TRUNCATEs, so its row shape has no columns. */
function rootMapping({ schema, name }: TableName, { copied }: TableMapping): TableMapping {
  return {
    relation: { schema, name, key: null, columns: [], full: false },
    before: null,
    rowShapes: [{ columns: [], names: new Map(), fills: [] }],
    bytea: new Set(),
    intervals: new Set(),
    disguised: new Map(),
    copied,
  };
}

/**
 * @returns the table's fingerprint on the source; null: there is no such table.
 * @throws CatalogMoved when the table is not the one that the drift check saw: the next drift check decides.
 */
async function requireUnmoved(
  source: pg.ClientBase,
  known: {
    readonly rows: readonly PlannedRelationRow[];
    readonly selection: Selection;
    readonly checked: DriftCheck;
  },
  table: Unsettled,
): Promise<string | null> {
  const { schema, table: name } = table;
  const look = await lookOnceVisible(source, { schema, name }, table.xid);
  const fingerprint = look.fingerprints[0] ?? null;
  const seen = known.checked.fingerprints.get(keyOfName({ schema, name }));
  if (table.shapeMismatch !== undefined) {
    if (fingerprint !== seen) throw new CatalogMoved(fullName(table), table);
    return fingerprint;
  }
  // If it is gone, its rows may now be in a table that the next drift check finds. If it exists but is not selected, it is
  // excluded, a materialized view (which sends changes when refreshed concurrently), or a member of an extension.
  if (fingerprint !== null && (await isSelectedNow(source, known, { schema, name })))
    throw new CatalogMoved(fullName(table), table);
  return fingerprint;
}

/**
 * A transaction is sent shortly before its DDL is visible on the source; with a synchronous standby, long before. After the
 * limit, the worst result is an unnecessary resync.
 */
async function lookOnceVisible(source: pg.ClientBase, table: TableName, xid: number) {
  const began = performance.now();
  for (;;) {
    const look = await lookAt(source, [table]);
    if (isVisible(xid, parseSnapshot(look.snapshot))) return look;
    if (performance.now() - began > VISIBLE_MS) return look;
    await sleep(VISIBLE_POLL_MS);
  }
}

/** Adds the change that showed the difference. */
function at(failure: MigrationError, { commitLsn, shapeMismatch }: Unsettled): MigrationError {
  const what = shapeMismatch === undefined ? '' : `: it ${shapeMismatch}`;
  return new MigrationError(
    failure.code,
    `${failure.message} (first shown by a change at ${commitLsn}${what})`,
    { ...failure.details, lsn: commitLsn },
  );
}

async function located<T>(met: Unsettled | null, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof MigrationError) || met === null) throw error;
    // The next pass needs no position.
    throw error.code === 'Resync' || error.details.table !== fullName(met) ? error : at(error, met);
  }
}

function fullName({ schema, table }: Unsettled): string {
  return `${schema}.${table}`;
}

function mappingOf(
  { source, target, rowShapes, key, disguised }: Followed,
  pass: ExportedSnapshot | undefined,
  intervals: ReadonlySet<string> = new Set(),
): TableMapping {
  const bytea = source.columns.filter(({ baseTypeOid }) => baseTypeOid === BYTEA_OID);
  const relation = plannedRelation(source, target, key);
  // A key that covers the whole row is not FULL: as long as the key is unchanged, a change that matches two rows is an error.
  const changed = relation.full || (key === null && source.key !== null);
  return {
    relation,
    before: changed ? { ...relation, full: !relation.full } : null,
    rowShapes,
    bytea: new Set(bytea.map(({ name }) => name)),
    intervals,
    disguised,
    copied: copiedBy(pass),
  };
}

/**
 * Whether the exported snapshot includes a transaction (32-bit id). By LSN first: ids wrap around, and a new one could look old.
 */
function copiedBy(pass: ExportedSnapshot | undefined): TableMapping['copied'] {
  return (xid, commitLsn) =>
    pass !== undefined && compareLsn(commitLsn, pass.lsn) < 0 && isVisible(xid, pass);
}

function plannedRelation(
  source: Relation,
  target: Relation,
  key: readonly string[] | null,
): PlannedRelation {
  const through = source.viaRoot;
  return {
    schema: source.schema,
    name: source.name,
    // A target schema that walferry did not create may lack the key: then rows are found by the columns that the source sends.
    // A root with other partitions has another key; the source's key is used only if it is unique in the whole tree.
    key: (through ? through.uniqueKey : sameColumns(key, target.key)) ? key : null,
    full: source.identity === 'f',
    ...(through && {
      destination: { schema: through.schema, name: through.name },
      ...(through.bounds !== null && { bounds: through.bounds }),
    }),
    columns: source.columns.map((column) => ({
      name: column.name,
      typeName: column.typeName,
      baseTypeName: column.baseTypeName,
      notNull: column.notNull,
      generated: column.generated,
      identity: column.identity,
    })),
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

async function isSelectedNow(
  source: pg.ClientBase,
  {
    rows,
    selection,
  }: { readonly rows: readonly PlannedRelationRow[]; readonly selection: Selection },
  { schema, name }: { readonly schema: string; readonly name: string },
): Promise<boolean> {
  if (await isTableSelected(source, selection, { schema, name })) return true;
  // A planned table that was renamed to a name outside the selection.
  const { rows: named } = await source.query<{ oid: number }>(
    /* sql */ `select c.oid::int8::float8 as oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname = $1 and c.relname = $2`,
    [schema, name],
  );
  return rows.some(({ oid }) => oid === named[0]?.oid);
}

/** Only a current partition can join its tree without a copy: any other table gets a new link to its tree when it is attached. */
async function isPartition(source: pg.ClientBase, { schema, name }: TableName): Promise<boolean> {
  const { rows } = await source.query<{ partition: boolean }>(
    /* sql */ `select c.relispartition as partition from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname = $1 and c.relname = $2`,
    [schema, name],
  );
  return rows[0]?.partition === true;
}

function sameColumns(a: readonly string[] | null, b: readonly string[] | null): boolean {
  if (a === null || b === null || a.length !== b.length) return false;
  return a.every((name) => b.includes(name));
}
