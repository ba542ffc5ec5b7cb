/**
 * What became of the plan's tables since the stream last looked, at the beginning of every lease (and so at the fence, whose
 * drain is a lease). Each table of the plan or of the selection ends in one of these ways:
 *
 *   as before                      followed
 *   columns added, dropped,        the target has the same: followed in two forms, before and after
 *   renamed                        it has not: followed up to the first change that shows it, at most to the mark
 *   types with more labels or      the target has the same: nothing to do
 *   attributes                     it has not: followed up to the mark, and then the operator is asked
 *   types with labels renamed or   the target can take the rows: copied again
 *   attributes dropped, wherever   it cannot: the operator is asked at once
 *   anything that a later DDL on   the target has the same: copied again
 *   the target cannot repeat       it has not: the operator is asked at once
 *   unlogged on the target         the operator is asked at once, and it is copied again: a crash may have emptied it
 *   unlogged                       the operator is asked, unless the table is accepted: then nothing of it is followed
 *   another file that nothing      copied again (catalog/file.ts); one that a TRUNCATE would explain is followed up to the mark,
 *   explains                       and copied again if the stream does not bring that TRUNCATE
 *   gone                           gone on the target, too: it leaves the plan; otherwise the operator is asked
 *   made anew, renamed, new        the target can take it: copied (again); otherwise the operator is asked
 *   new, gone or moved in a tree   (control/tree.ts) joins as it is, if nothing of it was left out, or all of the tree is copied
 *                                  again
 *   that goes through its root
 *
 * Copied again is always right, whatever happened in between: what its snapshot sees is skipped in the stream.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { renderDifferences, type Difference } from '../catalog/drift.ts';
import { ignoredAmong, NOTHING_IGNORED, type IgnorePatterns } from '../catalog/ignored.ts';
import { readRelationsNamed, type Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf } from '../catalog/root.ts';
import { keyOfName, nameOf } from '../catalog/table-name.ts';
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
import { readUnlogged, requireLogged, UNLOGGED_ON_TARGET } from '../catalog/unlogged.ts';
import { holdEpoch } from '../control/epoch.ts';
import { byNumber, outdateSnapshots, readSnapshots } from '../control/exported-snapshot.ts';
import { plannedDefinition } from '../control/planned-definition.ts';
import {
  forgetRelations,
  joinSnapshot,
  markForResync,
  markTreesForResync,
  registerRelations,
  renameRelation,
  type PlannedRelationRow,
  type PlannedDefinition,
} from '../control/relation.ts';
import { checkTrees, movedIn } from '../control/tree.ts';
import { flushSeen } from '../wal/flush.ts';
import { sentWhole, type Withheld } from '../control/withheld.ts';
import type { Followed } from './follow.ts';
import { DRIFT_CHECKED, CatalogMoved } from './moved.ts';
import { readSource } from './source-look.ts';
import { checkFollowedTypes, watchedTypes, type WatchedTypes } from './types.ts';
import { besideDefault, checkNewTrees } from './new-tree.ts';
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
  /** Tokens of the selected tables by {@link keyOfName}. */
  readonly fingerprints: ReadonlyMap<string, string>;
  /** Of the followed tables, for the look before a commit. */
  readonly types: WatchedTypes;
  /** Shapes to store by the plan's number, once the stream has passed what was committed before this look. */
  readonly settled: ReadonlyMap<number, PlannedDefinition>;
  /** Shapes to store at once. */
  readonly alike: ReadonlyMap<number, PlannedDefinition>;
  /** Transactions (32 bits) whose TRUNCATE has to come in the stream, by the plan's number. */
  readonly awaited: ReadonlyMap<number, string>;
  /** Tables of the plan without a replica identity, as accepted. */
  readonly insertOnly: ReadonlySet<number>;
  /** Tables of the plan whose changes are left out, as accepted. */
  readonly unlogged: ReadonlySet<number>;
  /** Differences that the stream may still be before; asked about when it gets to them. */
  readonly ahead: readonly Difference[];
  /** Columns with intervals of followed tables by the plan's number, if the target takes some of the source's for infinite. */
  readonly intervals: ReadonlyMap<number, ReadonlySet<string>>;
  /** Whether the plan has grown by partitions that are to be followed: it has to be read and audited once more. */
  readonly grown: boolean;
}

/**
 * Looks at both catalogs and says how each table is to be followed. Notes what is to be copied again.
 * @throws MigrationError `SchemaDrift`, `UnknownRelation`, `StreamWarning` when the operator has to act; `Resync` when the
 *   next round of the copy has to.
 */
export async function checkDrift(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  plan: {
    readonly rows: readonly PlannedRelationRow[];
    readonly selection: Selection;
    readonly ignore?: IgnorePatterns;
    /** Null: looks only, and fails with `CatalogMoved` where something would have to be noted. */
    readonly epoch: bigint | null;
    /** Awaited between groups of tables, with how many were judged: others get a turn, and the caller learns that it gets on. */
    readonly turn?: (tables: number) => Promise<void>;
    readonly withheld: Withheld | null;
  },
): Promise<DriftCheck> {
  const { rows } = plan;
  // What is done with all tables at once takes most of a second where there are 100,000: between two such steps others get a turn.
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
    ...{ rename: [], register: [], joining: [], trees: [], again: [], reasons: [] },
  };
  await turn();
  await refuseUnlogged(target, migration, { ...plan, here }, found);
  for (const [at, row] of rows.entries()) {
    if (at % TABLES_PER_TURN === 0) await turn(at);
    if (!moved.has(row)) checkTable(row, sides, found);
    else if (isLeftRoot(row, sides)) {
      // Forgotten, it would keep its rows with nobody told.
      const what = 'is gone on the source (dropped or renamed): drop it on the target';
      found.drift.push({ schema: row.schema, table: row.name, column: null, what });
    } else found.forget.push(row.id);
  }
  for (const row of entering) checkEntering(row, sides, found);
  for (const { root, reason } of trees) {
    if (reason === null) continue;
    found.trees.push(root);
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
  // Shapes and decisions are noted on the target: DDL that a crash of the source takes back must not be among them.
  await flushSeen(source, migration);
  refuse(found, await besideDefault(target, found.absent, sides));
  const { forget, rename, register, joining, again } = found;
  const noted = [forget, rename, register, joining, again, found.trees];
  if (noted.some((some) => some.length > 0)) {
    await note(target, migration, plan.epoch, found, (relation) =>
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

/** Some tens of milliseconds' worth. */
const TABLES_PER_TURN = 1_000;

/** For a table that is to be copied again, whatever else there is. */
export function resync(reasons: readonly string[]): MigrationError {
  const shown = reasons.slice(0, SHOWN).join('; ');
  const more = reasons.length > SHOWN ? `; and ${reasons.length - SHOWN} more` : '';
  return new MigrationError('Resync', `to be copied again: ${shown}${more}`);
}

const SHOWN = 5;

/** For differences that only the operator can settle. */
export function drift(differences: readonly Difference[]): MigrationError {
  const [first] = differences;
  return new MigrationError(
    'SchemaDrift',
    `the tables of source and target differ: ${renderDifferences(differences)}`,
    {
      ...(first ? { table: `${first.schema}.${first.table}` } : {}),
      ...(first?.column == null ? {} : { column: first.column }),
    },
  );
}

/** @param hint what else to say of the absent ones. */
function refuse({ drift: differences, absent }: DriftReport, hint: string): void {
  if (differences.length > 0) {
    const missing = absent.map(({ schema, name }) => ({
      ...{ schema, table: name, column: null },
      what: 'is new on the source and missing on the target',
    }));
    throw drift([...differences, ...missing]);
  }
  const [first] = absent;
  if (!first) return;
  const names = absent.slice(0, SHOWN).map(nameOf).join(', ');
  const more = absent.length > SHOWN ? ` and ${absent.length - SHOWN} more` : '';
  throw new MigrationError(
    'UnknownRelation',
    `new on the source and selected, but not on the target: ${names}${more}${hint}`,
    { table: nameOf(first) },
  );
}

/**
 * A crash of the target may have emptied such tables already, and nothing tells: they are noted to be copied again, which is done once
 * they are logged.
 */
async function refuseUnlogged(
  target: pg.ClientBase,
  migration: Migration,
  {
    rows,
    here,
    ignore = NOTHING_IGNORED,
    epoch,
  }: {
    readonly rows: readonly PlannedRelationRow[];
    readonly here: readonly Relation[];
    readonly ignore?: IgnorePatterns;
    readonly epoch: bigint | null;
  },
  found: DriftReport,
): Promise<void> {
  const wanted = requireLogged(destinationsOf([...rows, ...here]), here, ignore);
  const unlogged = await readUnlogged(target, wanted);
  if (unlogged.length === 0) return;
  const names = new Set(unlogged.map(keyOfName));
  const emptied = rows.filter((row) => names.has(keyOfName(destinationOf(row))));
  found.again.push(...emptied.flatMap((one) => (one.viaRoot ? [] : [one.id])));
  found.trees.push(...destinationsOf(emptied.filter(({ viaRoot }) => viaRoot !== null)));
  // Asked before anything joins.
  await note(target, migration, epoch, found, () => null);
  throw drift(
    unlogged.map(({ schema, name }) => ({
      ...{ schema, table: name, column: null },
      what: UNLOGGED_ON_TARGET,
    })),
  );
}

/** One transaction under the attempt's epoch. */
async function note(
  target: pg.ClientBase,
  migration: Migration,
  epoch: bigint | null,
  found: DriftReport,
  shaped: (relation: Relation) => PlannedDefinition | null,
): Promise<void> {
  if (epoch === null) throw new CatalogMoved(DRIFT_CHECKED, null);
  await target.query(/* sql */ `begin`);
  try {
    await holdEpoch(target, migration, epoch);
    await forgetRelations(target, migration, found.forget);
    for (const { id, to } of found.rename) await renameRelation(target, migration, id, to);
    const joining = found.joining.map(({ relation }) => relation);
    await registerRelations(target, migration, [...found.register, ...joining]);
    for (const { relation, pass } of found.joining) {
      const definition = shaped(relation);
      if (definition === null) continue;
      const { schema, name } = relation;
      await joinSnapshot(target, migration, [{ schema, name, definition }], pass);
    }
    await markForResync(target, migration, found.again);
    await markTreesForResync(target, migration, found.trees);
    await outdateSnapshots(target, migration);
    await target.query(/* sql */ `commit`);
  } catch (error) {
    await target.query(/* sql */ `rollback`).catch(() => undefined);
    throw error;
  }
}

/** Null for a table that is gone again. */
function definitionOf(
  relation: Relation,
  sides: Sides,
  types: TypePairs,
): PlannedDefinition | null {
  const source = sides.definitions.get(relation.oid);
  const target = sides.there.get(keyOfName(destinationOf(relation)));
  return source && target ? plannedDefinition({ relation, target }, source, types) : null;
}

function byName(relations: readonly Relation[]): Map<string, Relation> {
  return new Map(relations.map((relation) => [keyOfName(relation), relation]));
}
