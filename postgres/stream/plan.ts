/**
 * What the stream knows of the tables: how the audit says that each one is followed, the generations they were copied under,
 * and what to do when a change shows that the source's catalog has moved on since.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError, type FailureCode } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Change, PlannedRelation } from '../apply/change.ts';
import { readKeepers, type Keeper } from '../catalog/file.ts';
import { isTableSelected, readRelationsNamed, type Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf } from '../catalog/root.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
import { literalSchemas, type Selection, type TableName } from '../catalog/selection.ts';
import { NOTHING_IGNORED, type IgnorePatterns } from '../catalog/ignored.ts';
import { compareDefinitions, lookAt, readDefinitions } from '../catalog/table-definition.ts';
import { readNamed, readSchemaRows, sameRows, type SchemaRows } from '../catalog/schema-row.ts';
import { holdEpoch, type Attempt } from '../control/epoch.ts';
import { outdateSnapshots, readSnapshots } from '../control/exported-snapshot.ts';
import {
  markForResync,
  readPlannedRelations,
  readPlannedSizes,
  readUnfinished,
  storeKeepers,
  storeDefinitions,
  type PlannedRelationRow,
  type PlannedDefinition,
} from '../control/relation.ts';
import { readRecordedSchemas, recordSchemas } from '../control/schema-row.ts';
import {
  addLeft,
  addRequest,
  readWithheld,
  storeWithheld,
  type Withheld,
} from '../control/withheld.ts';
import { markPosition } from '../cutover/end-mark.ts';
import { insertOnlyFailure, warningFailure } from '../replication/refusal.ts';
import {
  filterEnd,
  isVisible,
  parseSnapshot,
  type ExportedSnapshot,
} from '../snapshot/visibility.ts';
import { checkDrift, resync, drift, type DriftCheck } from './drift-check.ts';
import { Doubt } from './doubt.ts';
import { Emptied } from './emptied.ts';
import { TableMappings, type Left, type TableMapping, type Unsettled } from './filter.ts';
import { OTHER_FILE, type Followed } from './follow.ts';
import { DRIFT_CHECKED, CatalogMoved } from './moved.ts';
import type { WatchedTypes } from './types.ts';
import type { Mark } from '../wal/flush.ts';
import { readOutside } from './outside.ts';
import { viewOf } from './view.ts';

const BYTEA_OID = 17;
/** SQLSTATE of a text that is no value of its type. */
const INVALID_TEXT = '22P02';
const SHOWN_MS = 5_000;
const SHOWN_POLL_MS = 20;
/** Names of scratch tables that one plan learns to leave out: over many leases they would pile up. */
const MOST_LEARNT = 1_000;
const OLDER_TYPE = 'that its type has no more on either side';
/** Failures of a change that meets other rows than it expects. */
const UNLIKE: ReadonlySet<FailureCode> = new Set(['RowMissing', 'ChangeFailed']);

export interface StreamPlan {
  readonly mappings: TableMappings;
  /** Position of the newest generation: what commits at or after it is in no copy. Null when nothing was copied. */
  readonly newest: Lsn | null;
  /** Marks of the generations, in no order. */
  readonly marks: readonly Mark[];
  /** Schemas to ask the plugin for; null for all. */
  readonly schemas: readonly string[] | null;
  /** Tables that the plugin is to leave out. */
  readonly without: readonly TableName[];
  /** Goes on leaving a name out that means another table now. @throws CatalogMoved when that one is selected. */
  leave(left: Left): Promise<void>;
  /** Rows of the tables' schemas, for the look before a commit. */
  readonly schemaRows: SchemaRows;
  /** Null when no schema's row was written since what is stored. */
  readonly doubt: Pick<Doubt, 'met' | 'committed'> | null;
  /** @throws MigrationError `Resync` when changes up to now may have come under a wrong name. */
  refuseDoubtful(): void;
  /** What the source says of the tables, for the look before a commit. */
  readonly fingerprints: ReadonlyMap<string, string>;
  /** What the tables' types are made of, for the same look. */
  readonly types: WatchedTypes;
  /** Past it, nothing from before the audit can come any more; null when no DDL was found. */
  readonly mark: Lsn | null;
  /** Whether the stream has to stop at the mark: the target lacks what was done before it, or a TRUNCATE has to have come. */
  readonly stopsAtMark: boolean;
  /**
   * Decides about a table without a route, or a change of no known form. Writes nothing: it is called while a batch is open on
   * the target's session, and a `commit` beside it would make half of that batch visible.
   * @throws CatalogMoved, or as the audit.
   */
  settle(table: Unsettled): Promise<void>;
  /**
   * Whether the plan also holds for another lease: nothing was found that the stream may still be before, and nothing came
   * that changes what is stored of a table.
   */
  readonly steady: boolean;
  /** Writes under the epoch of the lease that goes on with the plan from now on. */
  renew(attempt: Pick<Attempt, 'epoch'>): void;
  /** Of everything in the plan, to compare it with a later one; null unless that was asked for. */
  readonly view: string | null;
  /** TRUNCATEs that came. */
  readonly emptied: Emptied;
  /** Notes which tables TRUNCATEs among these changes give a new file on the target. */
  truncating(changes: readonly Change[]): void;
  /**
   * Stores which files TRUNCATEs of these transactions explain, the target's own, and partitions that were left out, in the open
   * transaction that also stores the position behind them: no later lease gets them again.
   */
  explained(xids: ReadonlySet<number>): Promise<void>;
  /**
   * Looks behind a change that found no row: where the table may have had changes that were never sent, that is no riddle for the
   * operator. Only when nothing is open on the target.
   * @returns the failure to end with.
   */
  explain(failure: unknown): Promise<unknown>;
  /** Ends the stream for a table of which changes were not sent; writes nothing. @throws MigrationError `StreamWarning`. */
  missed(table: Unsettled): Promise<never>;
  /** Notes which tables those two want copied again. Only when nothing is open on the target. @throws MigrationError `Fenced`. */
  note(): Promise<void>;
  /**
   * To be called with the stored position when a lease has ended.
   * @param reached whether `until` was reached: after a drain nobody comes to the mark any more.
   * @throws MigrationError `SchemaDrift`; `Resync` when a TRUNCATE that would explain a table's file did not come.
   */
  passed(stored: Lsn, reached: boolean): Promise<void>;
}

/**
 * Reads the plan and audits it.
 * @param met the change that made this reading necessary, for messages.
 * @throws MigrationError as {@link checkDrift}; CatalogMoved where a look would have to write, or finds what the stream has to pass.
 */
export async function readPlan(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  parts: {
    readonly selection: Selection;
    readonly ignore?: IgnorePatterns;
    /** Null for a look beside a stream that goes on: it writes nothing. */
    readonly attempt: Pick<Attempt, 'epoch'> | null;
    readonly met: Unsettled | null;
    /** Whether a later plan will be compared with this one. */
    readonly compared?: boolean;
    /** Whether the plugin is to leave out every table that is not moved. */
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
  // Before the audit: a table that comes after this look is in no list, and one that is selected by then is taken off it again.
  const outside = await readOutside(source, await readPlannedSizes(target, migration), leaveAll);
  const withheld = await readWithheld(target, migration);
  // Before the audit, which flushes the source's WAL past all that was seen.
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
  // New partitions are in the plan now, and are looked at like all others.
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
  // After the look at the catalog: whatever was committed before that look lies before the mark.
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
  // Without a doubt nothing of the plan had another name, whatever became of other schemas.
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
  // A look asks the plugin for nothing.
  if (next !== withheld && attempt !== null)
    await fenced(() => storeWithheld(target, migration, next));
  tell('making routes');
  await nextTurn();
  const mappings = mappingsOf(rows, checked, snapshots);
  const view = compared
    ? await viewOf({ rows, checked, mappings, snapshots, schemas, schemaRows, turn })
    : null;
  const { leftOut } = mappings;
  const again: number[] = [];
  const rowOf = (table: Unsettled) =>
    rows.find(({ schema, name }) => schema === table.schema && name === table.table);
  const toResync = (table: Unsettled): void => {
    const row = rowOf(table);
    if (row) again.push(row.id);
  };
  const ofPlan = new Set(rows.map(({ schema }) => schema));
  const emptied = new Emptied();
  /** Tables of the target in the open transaction, and what became of those of committed ones. */
  const truncated = new Set<string>();
  const remade = new Map<number, Keeper>();
  /** Partitions whose changes are left out, to be stored with the position behind them: they may be selected later. */
  const passedOver: TableName[] = [];
  let known: Withheld | null = next;
  const passOver = async (left: Left): Promise<void> => {
    if (left.fingerprint !== null && (await isPartition(source, left))) passedOver.push(left);
  };
  const noteResync = async (): Promise<void> => {
    if (again.length === 0) return;
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
      await passOver(left);
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
      again.push(...new Set(found.map(({ table }) => table.id)));
      throw resync([...new Set(found.map(({ why }) => why))]);
    },
    fingerprints: checked.fingerprints,
    types: checked.types,
    mark,
    stopsAtMark: checked.ahead.length > 0 || awaited.size > 0 || doubt.any,
    get steady() {
      const learnt = mappings.leftOut - leftOut;
      const settled = mark === null && awaited.size === 0 && again.length === 0 && !emptied.any;
      return settled && learnt <= MOST_LEARNT;
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
          // A partition is emptied by a DELETE within its root, which keeps its files: whatever has replaced them was something else.
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
      if (passedOver.length > 0) {
        known = addLeft(known, passedOver.splice(0));
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
        again.push(row.id);
        const at = failure.details.lsn ?? 'a position before the last check';
        return resync([`${nameOf(row)} has a change at ${at} with a label or row ${OLDER_TYPE}`]);
      }
      const { opaque, replaced } = compareDefinitions(row.definition.source, now);
      // Also where a TRUNCATE came since: the change may be from before it.
      if (opaque === null && !replaced) return failure;
      again.push(row.id);
      return resync([`${nameOf(row)} ${opaque ?? OTHER_FILE}`]);
    },
    settle: async (table) => {
      const fingerprint = await requireUnmoved(source, { rows, selection, checked }, table);
      if (table.shapeMismatch === undefined) {
        const left = { schema: table.schema, name: table.table, fingerprint };
        await passOver(left);
        mappings.leave(left);
        return;
      }
      const row = rowOf(table);
      // What differs is said of the table on the target.
      const { schema, name } = row
        ? destinationOf(row)
        : { schema: table.schema, name: table.table };
      const ahead = checked.ahead.filter((one) => one.schema === schema && one.table === name);
      if (ahead.length > 0) throw at(drift(ahead), table);
      // Shaped as neither before nor after the DDL: it was altered to and fro.
      toResync(table);
      throw resync([
        `${fullName(table)} has a change at ${table.commitLsn} that ${table.shapeMismatch}`,
      ]);
    },
    missed: (table) => {
      toResync(table);
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
      // The mark lies after the end mark of a cutover, the DDL it stands for may lie before it: no change has to show that DDL.
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
      again.push(...isOpen);
      await noteResync();
      throw resync(open.map((row) => `${nameOf(row)} ${OTHER_FILE}`));
    },
  };
}

/** By the plan's number. */
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

/** Marks that are gone again: the target crashed, and did not keep what it had committed. */
async function refuseLostMarks(
  target: pg.ClientBase,
  migration: Migration,
  rows: readonly PlannedRelationRow[],
): Promise<void> {
  const unfinished = new Set(await readUnfinished(target, migration, null));
  const again = rows.filter(({ id, rewritten, pass }) => {
    return unfinished.has(id) && (rewritten || pass === null);
  });
  if (unfinished.size > again.length) {
    throw new MigrationError(
      'CheckpointMissing',
      `${unfinished.size - again.length} tables that were copied are not complete on "${migration.target}" any more: it lost committed work`,
    );
  }
  const begun = again.filter(({ rewritten }) => !rewritten);
  if (begun.length > 0) {
    throw resync(begun.map(({ schema, name }) => `${schema}.${name} is new in the selection`));
  }
}

/**
 * Whether the target's types are past a change that they refuse: labels or attributes came since the copy, the target has all of
 * them, and the change is from before one was renamed or added. It would be refused for ever.
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
    // A partitioned table holds no rows; a TRUNCATE names it beside its leaves, which say everything.
    if (row.kind !== 'p' && !unlogged.has(row.id)) continue;
    const { schema, name } = row;
    mappings.leave({ schema, name, fingerprint: fingerprints.get(keyOfName(row)) ?? null });
  }
  for (const one of followed) {
    const { row } = one;
    if (row.pass === null) continue;
    const mapping = mappingOf(one, byNumber.get(row.pass), intervals.get(row.id));
    mappings.set(row.schema, row.name, mapping);
    // Partitions that go through their root are all of one generation: a TRUNCATE of the root is what it is for each of them.
    if (row.viaRoot)
      mappings.set(row.viaRoot.schema, row.viaRoot.name, rootMapping(row.viaRoot, mapping));
  }
  return mappings;
}

/** Of the root itself comes nothing but TRUNCATE: it has no columns to be of a form. */
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
 * @returns what the source says of the table; null: there is none.
 * @throws CatalogMoved when the table is not what the audit saw: the next audit decides.
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
  const look = await lookOnceShown(source, { schema, name }, table.xid);
  const fingerprint = look.fingerprints[0] ?? null;
  const seen = known.checked.fingerprints.get(keyOfName({ schema, name }));
  if (table.shapeMismatch !== undefined) {
    if (fingerprint !== seen) throw new CatalogMoved(fullName(table), table);
    return fingerprint;
  }
  // Gone: where its rows went, if they went anywhere, is a table that the next audit meets. There and not selected: excluded,
  // a materialized view (refreshed concurrently it sends changes), or an extension's.
  if (fingerprint !== null && (await isSelectedNow(source, known, { schema, name })))
    throw new CatalogMoved(fullName(table), table);
  return fingerprint;
}

/**
 * A transaction is sent a moment before the source shows its DDL, with a synchronous standby much earlier. After the limit the answer
 * may cost a copy that was not needed, and no more.
 */
async function lookOnceShown(source: pg.ClientBase, table: TableName, xid: number) {
  const began = performance.now();
  for (;;) {
    const look = await lookAt(source, [table]);
    if (isVisible(xid, parseSnapshot(look.snapshot))) return look;
    if (performance.now() - began > SHOWN_MS) return look;
    await sleep(SHOWN_POLL_MS);
  }
}

/** Names the change that showed it. */
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
    // A later round of the copy needs no position.
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
  // A key that covers the whole row is not FULL: while it is the same, a change of it that fits two rows is a fault.
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

/** Whether the generation holds a transaction (32 bits). By position first: ids come round again, and a new one would look old. */
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
    // A target that was made by somebody else may lack the key: then rows are found by what the source sends. A root that is
    // partitioned in another way has another key; the source's own names one row of all partitions, or is not used.
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

/** Whole schemas, those of the plan's tables among them: a partition may live in another schema than its parent. */
function schemasOf(
  selection: Selection,
  rows: readonly PlannedRelationRow[],
  withheld: Withheld | null,
): string[] | null {
  const literal = literalSchemas(selection);
  if (literal === null) return null;
  // Once asked for, always asked for: what withheld.ts says of a schema counts on it.
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
  // A table of the plan under a name outside the selection.
  const { rows: named } = await source.query<{ oid: number }>(
    /* sql */ `select c.oid::int8::float8 as oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname = $1 and c.relname = $2`,
    [schema, name],
  );
  return rows.some(({ oid }) => oid === named[0]?.oid);
}

/** A table that is none now has another link to its tree when it becomes one: only what is one can join as it is. */
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
