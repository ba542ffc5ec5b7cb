/**
 * Taking tables into a generation. The table is the unit: all its chunks are of one generation, so one transaction empties it on
 * the target, forgets its marks and writes the new chunks. From that commit on nobody can write under the old ones.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Ignored } from '../catalog/ignored.ts';
import type { Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf, isViaRoot } from '../catalog/root.ts';
import type { Selection } from '../catalog/selection.ts';
import { keyOfName, nameOf, quoted } from '../catalog/table-name.ts';
import { unloggedText } from '../catalog/file.ts';
import type { Shape } from '../catalog/shape.ts';
import { readTypeGraph, type TypeGraph } from '../catalog/type-graph.ts';
import { TypePairs } from '../catalog/type-pair.ts';
import { recordTypes } from '../catalog/type-record.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { insertChunks } from '../control/chunk.ts';
import { readNewestGeneration } from '../control/generation.ts';
import { requireMigration } from '../control/migration.ts';
import {
  numbersOf,
  readPlannedRelations,
  readUnfinished,
  storeShapes,
} from '../control/relation.ts';
import type { PlannedRelationRow, PlannedShape } from '../control/relation.ts';
import type { Turn } from '../control/turn.ts';
import { withRows } from '../schema/existing.ts';
import { cutTables } from './chunking.ts';
import { emptyTables, forgetChunks } from './emptying.ts';
import { snapshotLost } from './imported.ts';
import { followNames, followTrees } from './membership.ts';

const LOCK_TIMEOUT_MS = 2_000;
const LOCK_ATTEMPTS = 10;
const PAUSE_MS = 50;
const NAMES_SHOWN = 10;

export interface TakePlan {
  /** Of the attempt that plans. */
  readonly turn: Turn;
  readonly found: readonly Relation[];
  /** Shapes of the found tables by oid, of the same snapshot. */
  readonly shapes: ReadonlyMap<number, Shape>;
  /** Types of their columns, of the same snapshot. */
  readonly types: TypeGraph;
  /** The target's tables for them. */
  readonly counterparts: readonly Relation[];
  /** Oids of tables that can only be read as a whole. */
  readonly unsplittable: ReadonlySet<number>;
  /** Which tables the operator accepts as they are. */
  readonly ignored: Ignored;
  readonly chunkBytes: number;
  readonly selection: Selection;
}

/**
 * Takes everything unfinished into the generation. Idempotent: what it has already is left alone.
 * @param found the selected tables as the generation's snapshot sees them; a planned table that is not among them was dropped
 *   before, and so were all changes that could be for it: it has nothing to copy.
 * @throws MigrationError `SnapshotLost` when there is a newer generation, or the stream has passed this one;
 *   `Fenced` when a later attempt has begun; `SchemaDrift` when a table that was never copied holds rows on the target, or one is
 *   unlogged: its copy would be all that ever comes.
 */
export async function takeTables(
  target: pg.ClientBase,
  migration: Migration,
  generation: number,
  plan: TakePlan,
): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    await target.query(/* sql */ `begin`);
    try {
      await target.query(/* sql */ `set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
      const taken = await take(target, migration, generation, plan);
      await target.query(/* sql */ `commit`);
      return taken;
    } catch (error) {
      await target.query(/* sql */ `rollback`).catch(() => undefined);
      // The backend of a worker that was stopped holds a table: it was ended, or will be by the next try.
      if (sqlstate(error) !== SQLSTATE.lockNotAvailable || attempt === LOCK_ATTEMPTS) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

/**
 * Whether a snapshot of this position shows all that the stream has passed: it starts at the confirmed LSN and never brings
 * again what lies before, so a table copied under an older snapshot would lack that.
 */
export function reaches(lsn: Lsn, confirmed: Lsn | null): boolean {
  return confirmed === null || compareLsn(lsn, confirmed) >= 0;
}

async function take(
  target: pg.ClientBase,
  migration: Migration,
  generation: number,
  plan: TakePlan,
): Promise<number> {
  await plan.turn.hold();
  // Conflicts with the foreign key of a new generation: none is written between this look and the commit.
  await target.query(/* sql */ `select from walferry.migration where id = $1 for update`, [
    migration.id,
  ]);
  const { confirmedLsn } = await requireMigration(target, migration);
  const newest = await readNewestGeneration(target, migration);
  if (newest?.number !== generation || !reaches(newest.lsn, confirmedLsn)) {
    throw snapshotLost(generation);
  }
  await followNames(target, migration, plan.found);
  await followTrees(target, migration, plan);
  const left = new Set(await readUnfinished(target, migration, generation));
  if (left.size === 0) return 0;
  // After a stream: whoever still streams must not write into tables that are emptied here, and what is read on the
  // target is of two moments until the stream has passed this generation.
  await target.query(
    /* sql */ `update walferry.migration set epoch = epoch + 1, first_consistent = false where id = $1`,
    [migration.id],
  );
  const relations = await readPlannedRelations(target, migration);
  // A tree that goes through its root is taken as a whole: of two generations, a row that moved in between came twice.
  const roots = new Set(
    relations.flatMap(({ id, viaRoot }) => (viaRoot && left.has(id) ? [keyOfName(viaRoot)] : [])),
  );
  const tables = relations.filter(
    ({ id, kind, viaRoot }) =>
      kind === 'r' && (viaRoot === null ? left.has(id) : roots.has(keyOfName(viaRoot))),
  );
  const marked = relations.filter((one) => isViaRoot(one) && one.rewritten);
  refuseUnlogged(tables, plan);
  await refuseFilled(target, tables, plan.counterparts);
  const filled = await forgetChunks(
    target,
    migration,
    tables.map(({ id }) => id),
  );
  await emptyTables(
    target,
    // What was streamed into a table that is copied again has no mark.
    destinationsOf([
      ...tables.filter(({ id, rewritten }) => filled.has(id) || rewritten),
      ...marked,
    ]),
  );
  const there = new Map(plan.found.map((relation) => [keyOfName(relation), relation]));
  const sized = tables.flatMap((table) => {
    const relation = there.get(keyOfName(table));
    if (!relation) return [];
    const { oid, pages, bytes } = relation;
    const splittable = relation.splittable && !plan.unsplittable.has(oid);
    return [{ id: table.id, pages, bytes, splittable }];
  });
  await insertChunks(target, migration, generation, cutTables(sized, plan.chunkBytes));
  await target.query(
    /* sql */ `
    update walferry.relation set generation = $3, rewritten = false
     where migration = $1 and id = any($2)`,
    [migration.id, tables.map(({ id }) => id), generation],
  );
  await target.query(
    /* sql */ `update walferry.relation set rewritten = false where migration = $1 and id = any($2)`,
    [migration.id, marked.map(({ id }) => id)],
  );
  // Rows are written after this look: a type that is changed on the target meanwhile is found by the stream's audit.
  const types = new TypePairs(plan.types, await readTypeGraph(target, plan.counterparts));
  await storeShapes(target, migration, shapesOf(tables, plan, types));
  return tables.length;
}

function refuseUnlogged(
  tables: readonly PlannedRelationRow[],
  { found, shapes, ignored }: TakePlan,
): void {
  const names = new Set(tables.map(keyOfName));
  const unlogged = found.filter(
    (one) =>
      names.has(keyOfName(one)) &&
      shapes.get(one.oid)?.persistence === 'u' &&
      !ignored.unlogged(one),
  );
  const [first] = unlogged;
  if (!first) return;
  const shown = unlogged.slice(0, NAMES_SHOWN).map((one) => `${nameOf(one)} ${unloggedText(one)}`);
  const more = unlogged.length > NAMES_SHOWN ? `; and ${unlogged.length - NAMES_SHOWN} more` : '';
  throw new MigrationError('SchemaDrift', `${shown.join('; ')}${more}`, {
    table: nameOf(first),
  });
}

/** What was never copied holds nothing of ours: with rows there already, each would be there twice. */
async function refuseFilled(
  target: pg.ClientBase,
  tables: readonly PlannedRelationRow[],
  counterparts: readonly Relation[],
): Promise<void> {
  const there = new Set(counterparts.map(keyOfName));
  const begun = new Set(
    tables
      .filter(({ generation, rewritten }) => generation !== null || rewritten)
      .map((table) => keyOfName(destinationOf(table))),
  );
  const fresh = destinationsOf(tables).filter(
    (table) => !begun.has(keyOfName(table)) && there.has(keyOfName(table)),
  );
  const filled = await withRows(
    target,
    fresh.map(({ schema, name }) => ({ schema, name, sql: quoted({ schema, name }) })),
  );
  const [first] = filled;
  if (!first) return;
  const shown = filled.slice(0, NAMES_SHOWN).map(({ schema, name }) => `${schema}.${name}`);
  const more = filled.length > NAMES_SHOWN ? ` and ${filled.length - NAMES_SHOWN} more` : '';
  throw new MigrationError(
    'SchemaDrift',
    `never copied, and holding rows on the target already: ${shown.join(', ')}${more}; empty them there, then resume`,
    { table: `${first.schema}.${first.name}` },
  );
}

/** From the generation on the stream brings changes of this shape. */
function shapesOf(
  tables: readonly PlannedRelationRow[],
  { found, shapes, counterparts }: TakePlan,
  types: TypePairs,
): Map<number, PlannedShape> {
  const here = new Map(found.map((relation) => [keyOfName(relation), relation]));
  const there = new Map(counterparts.map((relation) => [keyOfName(relation), relation]));
  return new Map(
    tables.flatMap((table) => {
      const relation = here.get(keyOfName(table));
      const source = relation && shapes.get(relation.oid);
      const target = there.get(keyOfName(destinationOf(table)));
      if (!source || !target) return [];
      const recorded = recordTypes(types.columns(relation, target), types);
      const { key } = relation;
      return [[table.id, { source, key, target: numbersOf(target), types: recorded }] as const];
    }),
  );
}
