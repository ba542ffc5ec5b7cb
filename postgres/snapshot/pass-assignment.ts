/**
 * Assigns tables to a pass ("takes" them). The unit is the table: all its chunks belong to one pass, so one transaction empties
 * it on the target, deletes its marks and writes the new chunks. From that commit on no session can write under the old ones.
 * Many tables take several transactions; the stream does not start before all of them are copied.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { endBackends } from '../connection/backends.ts';
import { readUndoneBefore } from '../store/chunk.ts';
import { copiersOf } from './claim.ts';
import type pg from 'pg';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Ignored } from '../catalog/ignore-patterns.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf } from '../catalog/row-destination.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import type { Selection } from '../catalog/selection.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { readKeepers, type Keeper } from '../catalog/table-file.ts';
import type { SchemaRows } from '../catalog/schema-row.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';
import { readTypeGraph, type TypeGraph } from '../catalog/type-graph.ts';
import { TypePairs } from '../catalog/type-pair.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { insertChunks, type Chunk } from '../store/chunk.ts';
import { requireMigration } from '../store/migration.ts';
import {
  plannedDefinition,
  storeDefinitions,
  type PlannedDefinition,
} from '../store/planned-definition.ts';
import {
  readPlannedRelations,
  readUnfinished,
  type PlannedRelationRow,
} from '../store/planned-relation.ts';
import { recordSchemas } from '../store/recorded-schema.ts';
import { markAbsent, markEmptied, takeRelations } from '../store/table-move.ts';
import type { Turn } from '../store/turn.ts';
import { cutTables } from './chunking.ts';
import { emptyTables, forgetChunks } from './emptying.ts';
import { snapshotLost } from './imported.ts';
import { followNames, followTrees } from './membership.ts';
import { readNewestSnapshot, readOutdated, lockSnapshots } from '../store/exported-snapshot.ts';
import { holdEpoch, raiseEpoch } from '../store/epoch.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { refuseFilled, refuseUnlogged } from './take-refusal.ts';
import { batches, unitsOf, type Unit } from './take-unit.ts';

const LOCK_TIMEOUT_MS = 2_000;
const LOCK_ATTEMPTS = 10;
const PAUSE_MS = 50;

export interface TakePlan {
  /** Of the planning attempt. */
  readonly turn: Turn;
  readonly found: readonly Relation[];
  /** Definitions of the found tables by oid, under the same snapshot. */
  readonly definitions: ReadonlyMap<number, TableDefinition>;
  /** Types of their columns, under the same snapshot. */
  readonly types: TypeGraph;
  /** Rows of the source's schemas, under the same snapshot. */
  readonly schemas: SchemaRows;
  /** Their counterparts on the target. */
  readonly counterparts: readonly Relation[];
  /** Oids of tables that can only be copied as a whole. */
  readonly unsplittable: ReadonlySet<number>;
  /** Limitations that the operator accepts. */
  readonly ignored: Ignored;
  readonly chunkBytes: number;
  /** Most small tables in one chunk; each stream locks all of them at once. */
  readonly tablesPerBundle?: number;
  readonly selection: Selection;
}

/** Locks per emptied table: the table, its TOAST table with index, its indexes. */
const LOCKS_PER_EMPTIED = 8;
/**
 * Takes all unfinished tables into the pass, as many per transaction as the target's lock table allows. Idempotent: tables that
 * the pass already has are unchanged, and after a crash the next attempt takes the rest.
 * @param report called with the number of tables taken so far.
 * @throws MigrationError `SnapshotLost` when there is a newer snapshot, or the confirmed LSN is past this one; `Fenced` when a
 *   later attempt has started; `SchemaDrift` when a table that was never copied has rows on the target, or one is unlogged.
 */
export async function takeTables(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  plan: TakePlan,
  report: (tables: number) => void = () => undefined,
): Promise<number> {
  const started = await transaction(
    target,
    async () => {
      await plan.turn.hold();
      return begin(target, migration, pass, plan);
    },
    // A copier of another pass that froze between its mark and its commit holds the rows of its tables.
    async () =>
      endBackends(target, copiersOf(migration, await readUndoneBefore(target, migration, pass))),
  );
  if (started === null) return 0;
  const { epoch, units } = started;
  const all = units.flatMap(({ tables }) => tables);
  refuseUnlogged(all, plan);
  await refuseFilled(target, all, plan.counterparts);
  const here = new Map(plan.found.map((relation) => [keyOfName(relation), relation]));
  const there = new Map(plan.counterparts.map((relation) => [keyOfName(relation), relation]));
  const emptied = await lockableObjects([target], LOCKS_PER_EMPTIED);
  let taken = 0;
  for (const batch of batches(units, emptied, here)) {
    await transaction(target, async () => {
      await holdEpoch(target, migration, epoch);
      await requireNewest(target, migration, pass);
      await takeBatch(target, migration, pass, { ...plan, batch, here, there });
    });
    taken += batch.reduce((sum, { tables }) => sum + tables.length, 0);
    report(taken);
  }
  return taken;
}

/** Another session has locked what is to be changed. */
const IN_THE_WAY: ReadonlySet<string | undefined> = new Set([
  SQLSTATE.lockNotAvailable,
  SQLSTATE.deadlockDetected,
]);

/**
 * Retries while a terminated backend still locks a table.
 * @param blocked called before the next try.
 */
async function transaction<T>(
  target: pg.ClientBase,
  work: () => Promise<T>,
  blocked: () => Promise<unknown> = () => Promise.resolve(),
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await inTransaction(
        target,
        work,
        /* sql */ `begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}`,
      );
    } catch (error) {
      // A frozen worker's backend locks a table: it was terminated, or the next try does that. A live one may mark its chunk.
      if (!IN_THE_WAY.has(sqlstate(error)) || attempt === LOCK_ATTEMPTS) throw error;
      await blocked();
      await sleep(PAUSE_MS);
    }
  }
}

/**
 * Whether a snapshot at this LSN contains everything up to the confirmed LSN. The stream starts there and never resends earlier
 * changes, so a table copied under an older snapshot would lack them.
 */
export function reaches(lsn: Lsn, confirmed: Lsn | null): boolean {
  return confirmed === null || compareLsn(lsn, confirmed) >= 0;
}

async function requireNewest(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
): Promise<void> {
  await lockSnapshots(target, migration);
  const { confirmedLsn } = await requireMigration(target, migration);
  const newest = await readNewestSnapshot(target, migration);
  const isOutdated = pass <= (await readOutdated(target, migration));
  if (newest?.number !== pass || isOutdated || !reaches(newest.lsn, confirmedLsn)) {
    throw snapshotLost(pass);
  }
}

/** Updates the plan's list of tables and returns what is to be taken; null for nothing. */
async function begin(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  plan: TakePlan,
): Promise<{ readonly epoch: bigint; readonly units: readonly Unit[] } | null> {
  await requireNewest(target, migration, pass);
  // Rows recorded under an older snapshot stay: other tables were copied under it.
  await recordSchemas(target, migration, plan.schemas, 'first');
  await followNames(target, migration, plan.found);
  await followTrees(target, migration, plan);
  const left = new Set(await readUnfinished(target, migration, pass));
  if (left.size === 0) return null;
  // After a stream: an attempt that still streams must not write into tables that are emptied here, and the target is not
  // consistent until the stream has passed this snapshot.
  const epoch = await raiseEpoch(target, migration);
  const relations = await readPlannedRelations(target, migration);
  return { epoch, units: unitsOf(relations, left) };
}

async function takeBatch(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  plan: TakePlan & {
    readonly batch: readonly Unit[];
    readonly here: ReadonlyMap<string, Relation>;
    readonly there: ReadonlyMap<string, Relation>;
  },
): Promise<void> {
  const { batch, here } = plan;
  const tables = batch.flatMap((unit) => unit.tables);
  const marked = batch.flatMap((unit) => unit.marked);
  // Not in the snapshot, but possibly back soon: detached, in a renamed schema, added to an extension.
  const absent = tables.filter((table) => !here.has(keyOfName(table)));
  const filled = await forgetChunks(
    target,
    migration,
    tables.map(({ id }) => id),
  );
  await emptyTables(
    target,
    // Rows that the stream wrote into a table before its resync have no mark.
    destinationsOf([
      ...tables.filter(
        (table) => (filled.has(table.id) || table.state === 'resync') && !absent.includes(table),
      ),
      ...marked,
    ]),
  );
  const sized = tables.flatMap((table) => {
    const relation = here.get(keyOfName(table));
    if (!relation) return [];
    const { oid, pages, bytes } = relation;
    const splittable = relation.splittable && !plan.unsplittable.has(oid);
    return [{ id: table.id, pages, bytes, splittable }];
  });
  const chunks = cutTables(sized, plan.chunkBytes, plan.tablesPerBundle);
  await insertChunks(target, migration, pass, chunks);
  const present = tables.filter((table) => !absent.includes(table));
  await takeRelations(target, migration, pass, chunksPerTable(present, chunks));
  await markAbsent(
    target,
    migration,
    pass,
    absent.map(({ id }) => id),
  );
  await markEmptied(
    target,
    migration,
    marked.map(({ id }) => id),
  );
  // Read before rows are written: the stream's drift check finds types that change on the target during the copy.
  const names = new Set(destinationsOf(tables).map(keyOfName));
  const counterparts = plan.counterparts.filter((one) => names.has(keyOfName(one)));
  const types = new TypePairs(plan.types, await readTypeGraph(target, counterparts));
  // After the TRUNCATE, which creates a new file.
  const keepers = await readKeepers(
    target,
    counterparts.map(({ oid }) => oid),
  );
  await storeDefinitions(target, migration, definitionsOf(tables, plan, { types, keepers }));
}

/** A table without a chunk would count as copied without a row: it is refused by the control schema. */
function chunksPerTable(
  tables: readonly PlannedRelationRow[],
  chunks: readonly Chunk[],
): Map<number, number> {
  const count = new Map(tables.map(({ id }) => [id, 0]));
  for (const { relations } of chunks) {
    for (const id of relations) count.set(id, (count.get(id) ?? 0) + 1);
  }
  return count;
}

/** From the snapshot on, the stream's changes have these definitions. */
function definitionsOf(
  tables: readonly PlannedRelationRow[],
  {
    definitions,
    here,
    there,
  }: Pick<TakePlan, 'definitions'> &
    Readonly<Record<'here' | 'there', ReadonlyMap<string, Relation>>>,
  { types, keepers }: { readonly types: TypePairs; readonly keepers: ReadonlyMap<number, Keeper> },
): Map<number, PlannedDefinition> {
  return new Map(
    tables.flatMap((table) => {
      const relation = here.get(keyOfName(table));
      const source = relation && definitions.get(relation.oid);
      const target = there.get(keyOfName(destinationOf(table)));
      if (!source || !target) return [];
      const keeper = keepers.get(target.oid);
      return [[table.id, plannedDefinition({ relation, target }, source, types, keeper)] as const];
    }),
  );
}
