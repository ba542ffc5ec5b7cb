/**
 * Plans one pass of the copy: assigns the remaining tables to a live exported snapshot and lists them as runs. If nothing is
 * left, the plan is empty, with or without a live snapshot.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import { MOST_STREAMS } from '../../contract/limits.ts';
import type { Migration } from '../../contract/migration.ts';
import type { CopyPlan, Work } from '../../contract/work.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import {
  compareColumns,
  partitionsInTheWay,
  renderDifferences,
  type Difference,
} from '../catalog/column-difference.ts';
import { ignoredAmong } from '../catalog/ignore-patterns.ts';
import type { Relation } from '../catalog/relation.ts';
import { readRelations, readRelationsNamed } from '../catalog/read-relations.ts';
import { destinationsOf } from '../catalog/row-destination.ts';
import { readSchemaRows, type SchemaRows } from '../catalog/schema-row.ts';
import { readDefinitions, type TableDefinition } from '../catalog/table-definition.ts';
import { quoted } from '../catalog/table-name.ts';
import { readTypeGraph, type TypeGraph } from '../catalog/type-graph.ts';
import type { TableName } from '../catalog/selection.ts';
import { charDifferences } from '../catalog/version-form.ts';
import { readUnlogged, requireLogged, UNLOGGED_ON_TARGET } from '../catalog/unlogged.ts';
import { classify } from '../connection/failure.ts';
import { Planning } from '../session/planning.ts';
import { readLargestChunk, readPendingChunks, readTotals } from '../store/chunk.ts';
import {
  readNewestSnapshot,
  readOutdated,
  type OwnedSnapshot,
} from '../store/exported-snapshot.ts';
import { requireMigration } from '../store/migration.ts';
import { readPlannedSizes, readUnfinished } from '../store/planned-relation.ts';
import type { PlannedSize } from '../store/planned-relation.ts';
import { readTableStates } from '../store/table-report.ts';
import { takeTurn, type Turn } from '../store/turn.ts';
import { whileWatched } from '../session/liveness.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { groupRuns, TABLES_PER_BUNDLE } from './chunking.ts';
import { beginUnder } from './imported.ts';
import { waitForLiveOwner } from './owner-liveness.ts';
import { announceNothingLeft } from './nothing-left.ts';
import { takeReplicaRole } from '../session/replica-role.ts';
import { blocks } from './pipe.ts';
import { reaches, takeTables } from './pass-assignment.ts';

const MEBIBYTE = 1024 * 1024;
const LOCK_TIMEOUT_MS = 5_000;

/**
 * If tables are left, waits for a live exported snapshot and assigns them to its pass; returns the remaining runs.
 * @throws MigrationError `SnapshotLost`, `SchemaDrift` when the target cannot take a table, `CheckpointMissing`, `Fenced` for a
 *   superseded attempt; `signal.reason` when aborted.
 */
export async function planCopy(
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<CopyPlan> {
  try {
    await using target = await connectTarget(migration, 'plan', { signal: work.signal });
    // Take the turn before anything else: a frozen attempt that wakes up during the stream must not take a table for a copy that
    // no longer happens. The next lease would find it unfinished and report the target's work as lost.
    const turn = await takeTurn(target, migration, work.scheduledAt);
    // An earlier attempt's worker may be frozen while it takes tables, with the control row locked.
    await target.takeOver();
    const progress = { step: 'reading the plan', tables: 0 };
    // Watched from here: reading the plan of a hundred thousand tables takes seconds, too.
    const plan = await whileWatched(
      [target],
      work,
      () => ({ ...progress }),
      () => planUnder(target, turn, { migration, input, work, progress }),
    );
    if (plan.runs.length === 0) await announceNothingLeft(target, migration, plan.pass);
    return plan;
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: 'planning the copy' }, 'Internal');
  }
}

async function planUnder(
  target: pg.Client,
  turn: Turn,
  {
    migration,
    input,
    work,
    progress,
  }: {
    readonly migration: Migration;
    readonly input: MigrationInput;
    readonly work: Work;
    readonly progress: { step: string; tables: number };
  },
): Promise<CopyPlan> {
  const { confirmedLsn } = await requireMigration(target, migration);
  await takeReplicaRole(target);
  const relations = await readPlannedSizes(target, migration);
  if (await isFinished(target, migration, relations)) {
    const newest = await readNewestSnapshot(target, migration);
    return await planOf(target, migration, newest?.number ?? 0, input);
  }
  await using source = await connectSource(migration, 'plan', {
    target,
    // Reading sizes takes short locks: behind a long DDL the step fails with its name instead of hanging without a heartbeat.
    lockTimeoutMs: LOCK_TIMEOUT_MS,
  });
  // A table that was rewritten during a pass needs another snapshot, even if the old one is still alive.
  const spoiled = new Set(relations.flatMap((r) => (r.state === 'resync' ? [r.pass] : [])));
  const outdated = await readOutdated(target, migration);
  const live = await waitForLiveOwner(
    migration,
    { source, target },
    work,
    ({ number, lsn }) => number > outdated && !spoiled.has(number) && reaches(lsn, confirmedLsn),
  );
  progress.step = 'reading the catalogs';
  const taken = await whileWatched(
    [source],
    work,
    () => ({ ...progress }),
    async () => {
      const { found, definitions, types, schemas } = await readUnder(source, live, input);
      const unsplittable = await readUnsplittable(migration, source, found, input, work);
      const counterparts = await readRelationsNamed(target, destinationsOf(found));
      const logged = requireLogged(destinationsOf(found), found, input.ignore);
      const unreadable = await charDifferences(source, target, found);
      refuseDrift(found, counterparts, await readUnlogged(target, logged), unreadable);
      progress.step = 'taking tables into the snapshot';
      const plan = {
        ...{ turn, found, definitions, types, schemas, counterparts, unsplittable },
        ignored: ignoredAmong(found, input.ignore),
        chunkBytes: input.copy.chunkMegabytes * MEBIBYTE,
        selection: input.tables,
        // Each stream holds the locks of one bundle.
        tablesPerBundle: await lockableObjects(
          [source, target],
          input.copy.parallelism * LOCKS_PER_COPIED,
          TABLES_PER_BUNDLE,
        ),
      };
      return takeTables(target, migration, live.number, plan, (tables) => {
        progress.tables = tables;
      });
    },
  );
  if (taken > 0)
    work.log.info('tables taken into the snapshot', { pass: live.number, tables: taken });
  progress.step = 'listing the runs';
  const plan = await planOf(target, migration, live.number, input);
  return { ...plan, most: await mostStreams(target, migration, live.number, [source, target]) };
}

/** Locks per table of a bundle, on each side: the table, its TOAST table, its indexes. */
const LOCKS_PER_COPIED = 4;

/** How many streams the lock tables allow with the remaining chunks: limits may request more than the chunks were cut for. */
async function mostStreams(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  sides: readonly pg.ClientBase[],
): Promise<number> {
  const largest = await readLargestChunk(target, migration, pass);
  return lockableObjects(sides, largest * LOCKS_PER_COPIED, MOST_STREAMS);
}

async function isFinished(
  target: pg.ClientBase,
  migration: Migration,
  relations: readonly Pick<PlannedSize, 'pass'>[],
): Promise<boolean> {
  // Before the first pass the tables have not been read under a snapshot yet.
  if (relations.every(({ pass }) => pass === null)) return false;
  return (await readUnfinished(target, migration, null)).length === 0;
}

/** The catalog under the snapshot: tables created before it are copied or refused, later ones come through the stream. */
async function readUnder(
  source: pg.ClientBase,
  exported: OwnedSnapshot,
  input: MigrationInput,
): Promise<{
  found: Relation[];
  definitions: Map<number, TableDefinition>;
  types: TypeGraph;
  schemas: SchemaRows;
}> {
  await beginUnder(source, exported);
  const relations = await readRelations(source, input.tables);
  const found = relations.filter(({ kind }) => kind !== 'f');
  const definitions = await readDefinitions(
    source,
    found.map(({ oid }) => oid),
  );
  const types = await readTypeGraph(source, found);
  const schemas = await readSchemaRows(source);
  await source.query(/* sql */ `commit`);
  return { found, definitions, types, schemas };
}

/**
 * Large tables whose block ranges the source cannot plan under any search_path, because of a function in an index or in extended
 * statistics. They are copied as a whole, without the planner. Checked in a transaction that is rolled back.
 */
async function readUnsplittable(
  migration: Migration,
  source: pg.ClientBase,
  found: readonly Relation[],
  input: MigrationInput,
  work: Work,
): Promise<ReadonlySet<number>> {
  const planning = new Planning(migration.source, 'plan');
  const unsplittable = new Set<number>();
  await source.query(/* sql */ `begin read only`);
  for (const table of found) {
    if (!table.splittable || table.bytes <= input.copy.chunkMegabytes * MEBIBYTE) continue;
    work.beat({ step: 'taking tables into the snapshot' });
    const range = blocks({ firstBlock: 0, endBlock: 1 }).join(' and ');
    const statement = /* sql */ `select from only ${quoted(table)} where ${range}`;
    if (!(await planning.possible(source, quoted(table), statement))) unsplittable.add(table.oid);
  }
  await source.query(/* sql */ `rollback`);
  return unsplittable;
}

function refuseDrift(
  found: readonly Relation[],
  counterparts: readonly Relation[],
  unlogged: readonly TableName[],
  unreadable: readonly Difference[],
): void {
  const differences = [...compareColumns(found, counterparts), ...unreadable];
  if (found.some(({ viaRoot }) => viaRoot !== null)) {
    differences.push(...partitionsInTheWay(found, counterparts));
  }
  for (const { schema, name: table } of unlogged) {
    differences.push({ schema, table, column: null, what: UNLOGGED_ON_TARGET });
  }
  const [first] = differences;
  if (!first) return;
  throw new MigrationError(
    'SchemaDrift',
    `tables on the target cannot store the source's rows: ${renderDifferences(differences)}`,
    { table: `${first.schema}.${first.table}` },
  );
}

async function planOf(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  input: MigrationInput,
): Promise<CopyPlan> {
  const all = await readPlannedSizes(target, migration);
  const relations = all.filter(({ kind }) => kind === 'r');
  const pending = await readPendingChunks(target, migration, pass);
  const names = new Map(relations.map(({ id, schema, name }) => [id, `${schema}.${name}`]));
  const { parallelism } = input.copy;
  return {
    pass,
    runs: groupRuns(pending, {
      prefix: `g${pass}`,
      parallelism,
      nameOf: (id) => names.get(id) ?? 'a table',
    }),
    parallelism,
    tables: relations.length,
    ...(await readTotals(target, migration)),
    estimatedRows: relations.reduce((sum, r) => sum + r.estimatedRows, 0),
    estimatedBytes: relations.reduce((sum, r) => sum + r.estimatedBytes, 0),
    states: await readTableStates(target, migration),
  };
}
