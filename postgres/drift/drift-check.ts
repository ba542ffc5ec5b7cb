/**
 * What happened to the planned tables since the last drift check. Runs at the start of every lease, and so also for a cutover,
 * whose drain is a lease. Each planned or selected table gets one of these results:
 *
 *   as before                      followed
 *   columns added, dropped,        target has the same: followed with two row shapes, before and after
 *   renamed                        target differs: followed up to the first change that shows it, at most to the mark
 *   types with more labels or      target has the same: nothing to do
 *   attributes                     target differs: followed up to the mark, then the operator is asked
 *   types with labels renamed or   target can take the rows: resynced
 *   attributes dropped, anywhere   target cannot: the operator is asked at once
 *   other DDL that the target      target has the same: resynced
 *   cannot repeat later            target differs: the operator is asked at once
 *   unlogged on the target         the operator is asked at once, and it is resynced: a crash may have emptied it
 *   unlogged on the source         the operator is asked, unless the table is accepted: then its changes are ignored
 *   new file without explanation   resynced (catalog/table-file.ts); if a TRUNCATE may explain the file: followed up to the mark, and
 *                                  resynced if the stream does not deliver that TRUNCATE
 *   gone                           gone on the target, too: removed from the plan; otherwise the operator is asked
 *   recreated, renamed, new        target can take it: copied or resynced; otherwise the operator is asked
 *   new, gone or moved in a tree   joins without a copy if the stream has all of its changes; otherwise the whole tree is
 *   via root (drift/tree.ts)     resynced
 *
 * A resync is always correct: the stream skips changes that its snapshot includes.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Difference } from '../catalog/column-difference.ts';
import { ignoredAmong, NOTHING_IGNORED, type IgnorePatterns } from '../catalog/ignore-patterns.ts';
import { readRelationsNamed } from '../catalog/read-relations.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf } from '../catalog/row-destination.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { Selection } from '../catalog/selection.ts';
import { readDefinitions } from '../catalog/table-definition.ts';
import { readTypeGraph } from '../catalog/type-graph.ts';
import { TypePairs } from '../catalog/type-pair.ts';
import {
  charDifferences,
  intervalColumns,
  mistakesIntervals,
  readMajors,
} from '../catalog/version-form.ts';
import { byNumber, readSnapshots } from '../store/exported-snapshot.ts';
import type { PlannedRelationRow } from '../store/planned-relation.ts';
import type { PlannedDefinition } from '../store/planned-definition.ts';
import { checkTrees, movedIn } from './tree.ts';
import { flushSeen } from '../replication/flushed-mark.ts';
import { sentWhole, type Withheld } from '../store/withheld.ts';
import type { Followed } from './follow.ts';
import { refuse, resync } from './drift-failure.ts';
import { definitionOf, recordDecisions } from './drift-record.ts';
import { readSource } from './source-look.ts';
import { checkFollowedTypes, watchedTypes, type WatchedTypes } from './followed-type.ts';
import { defaultPartitionHint, checkNewTrees } from './new-tree.ts';
import { refuseUnlogged } from './unlogged-target.ts';
import {
  isInsertOnly,
  isLeftRoot,
  checkTable,
  checkEntering,
  checkNew,
  type Sides,
  type DriftReport,
} from './table-drift.ts';

export interface DriftCheck {
  readonly followed: readonly Followed[];
  /** Fingerprints of the selected tables by {@link keyOfName}. */
  readonly fingerprints: ReadonlyMap<string, string>;
  /** Types of the followed tables, for the check before a commit. */
  readonly types: WatchedTypes;
  /** Table definitions to store by plan number, once the stream has applied what was committed before this check. */
  readonly settled: ReadonlyMap<number, PlannedDefinition>;
  /** Table definitions to store at once. */
  readonly alike: ReadonlyMap<number, PlannedDefinition>;
  /** Transactions (32-bit ids) whose TRUNCATE must arrive in the stream, by plan number. */
  readonly awaited: ReadonlyMap<number, string>;
  /** Planned tables without a replica identity, as accepted by the operator. */
  readonly insertOnly: ReadonlySet<number>;
  /** Planned unlogged tables, as accepted by the operator: their changes are ignored. */
  readonly unlogged: ReadonlySet<number>;
  /** Differences that the stream may not have reached yet; the operator is asked when it does. */
  readonly ahead: readonly Difference[];
  /** Interval columns of followed tables by plan number, if the target reads some of the source's values as infinite. */
  readonly intervals: ReadonlyMap<number, ReadonlySet<string>>;
  /** Whether followed partitions were added to the plan: it must be read and checked again. */
  readonly grown: boolean;
}

/**
 * Compares both catalogs and decides how each table is followed. Marks tables for a resync.
 * @throws MigrationError `SchemaDrift`, `UnknownRelation`, `StreamWarning` when the operator must act; `Resync` when the next
 *   pass must copy tables.
 */
export async function checkDrift(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  plan: {
    readonly rows: readonly PlannedRelationRow[];
    readonly selection: Selection;
    readonly ignore?: IgnorePatterns;
    /** Null: read-only, and fails with `CatalogMoved` if something would have to be written. */
    readonly epoch: bigint | null;
    /** Awaited between groups of tables, with the number checked so far: lets other tasks run and reports progress. */
    readonly turn?: (tables: number) => Promise<void>;
    readonly withheld: Withheld | null;
  },
): Promise<DriftCheck> {
  const { rows } = plan;
  // With 100,000 tables, each step over all of them takes most of a second: other tasks run between the steps.
  const turn = (tables = 0): Promise<void> | undefined => plan.turn?.(tables);
  const { here, definitions } = await readSource(source, plan, turn);
  await turn();
  const there = await readRelationsNamed(target, [
    ...new Map(
      [...rows, ...here]
        .flatMap((one) => [one, destinationOf(one)])
        .map((one) => [keyOfName(one), one]),
    ).values(),
  ]);
  await turn();
  const copies = byNumber(await readSnapshots(target, migration));
  const trees = checkTrees(rows, here, definitions, (one, number) =>
    sentWhole(plan.withheld, plan.selection, one, copies.get(number)),
  );
  await turn();
  const entering = movedIn(rows, here);
  const moved = new Set([...trees.flatMap(({ left }) => left), ...entering]);
  const sides: Sides = {
    hereByOid: new Map(here.map((relation) => [relation.oid, relation])),
    here: byName(here),
    there: byName(there),
    definitions,
    trees,
    ignored: ignoredAmong(here, plan.ignore ?? NOTHING_IGNORED),
    targetDefinitions: await readDefinitions(
      target,
      there.map(({ oid }) => oid),
      true,
    ),
    planned: new Set(rows.filter((row) => !moved.has(row)).map((row) => keyOfName(row))),
  };
  const found: DriftReport = {
    ...{
      followed: [],
      settled: new Map(),
      alike: new Map(),
      awaited: new Map(),
      unlogged: new Set(),
      ahead: [],
      drift: [],
      absent: [],
      forget: [],
    },
    ...{ rename: [], register: [], joining: [], trees: [], again: new Map(), reasons: [] },
  };
  await turn();
  await refuseUnlogged(target, migration, { ...plan, here }, found);
  for (const [at, row] of rows.entries()) {
    if (at % TABLES_PER_TURN === 0) await turn(at);
    if (!moved.has(row)) checkTable(row, sides, found);
    else if (isLeftRoot(row, sides)) {
      // Without this report, its rows would stay on the target unnoticed.
      const what = 'is gone on the source (dropped or renamed): drop it on the target';
      found.drift.push({ schema: row.schema, table: row.name, column: null, what });
    } else found.forget.push(row.id);
  }
  for (const row of entering) checkEntering(row, sides, found);
  for (const { root, reason } of trees) {
    if (reason === null) continue;
    found.trees.push({ ...root, reason });
    found.reasons.push(reason);
  }
  const types = new TypePairs(
    await readTypeGraph(source, here),
    await readTypeGraph(target, there),
  );
  await turn(rows.length);
  checkFollowedTypes(types, found);
  await turn(rows.length);
  await checkNewTrees(target, here, sides, found);
  await checkNew(target, here, sides, found);
  found.drift.push(...(await charDifferences(source, target, here)));
  await turn(rows.length);
  const guarded = await guardedIntervals(source, target, found.followed);
  await turn(rows.length);
  // Definitions and decisions are stored on the target. They must not include DDL that a crash of the source could undo.
  await flushSeen(source, migration);
  refuse(found, await defaultPartitionHint(target, found.absent, sides));
  const { forget, rename, register, joining, again } = found;
  const noted = [forget, rename, register, joining, [...again], found.trees];
  if (noted.some((some) => some.length > 0)) {
    await recordDecisions(target, migration, plan.epoch, found, (relation) =>
      definitionOf(relation, sides, types),
    );
  }
  if (found.reasons.length > 0) throw resync(found.reasons);
  await turn(rows.length);
  return {
    followed: found.followed,
    settled: found.settled,
    alike: found.alike,
    awaited: found.awaited,
    unlogged: found.unlogged,
    insertOnly: new Set(
      rows.filter((row) => isInsertOnly(sides.here.get(keyOfName(row)), sides)).map(({ id }) => id),
    ),
    ahead: found.ahead,
    intervals: guarded,
    grown: joining.length > 0,
    types: watchedTypes(found.followed, types.source),
    fingerprints: new Map(
      here.map((relation) => [
        keyOfName(relation),
        sides.definitions.get(relation.oid)?.fingerprint ?? '',
      ]),
    ),
  };
}

async function guardedIntervals(
  source: pg.ClientBase,
  target: pg.ClientBase,
  followed: readonly Followed[],
): Promise<Map<number, ReadonlySet<string>>> {
  const found = followed.flatMap((one) => {
    const columns = intervalColumns(one.source);
    return columns.length === 0 ? [] : [[one.row.id, new Set(columns)] as const];
  });
  if (found.length === 0 || !mistakesIntervals(await readMajors(source, target))) return new Map();
  return new Map(found);
}

/** Takes some tens of milliseconds. */
const TABLES_PER_TURN = 1_000;

function byName(relations: readonly Relation[]): Map<string, Relation> {
  return new Map(relations.map((relation) => [keyOfName(relation), relation]));
}
