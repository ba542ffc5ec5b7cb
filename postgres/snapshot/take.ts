/**
 * Taking tables into a generation. The table is the unit: all its chunks are of one generation, so one transaction empties it on
 * the target, forgets its marks and writes the new chunks. From that commit on nobody can write under the old ones.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { readRelationsNamed, type Relation } from '../catalog/relation.ts';
import { destinationOf, destinationsOf, isViaRoot, keyOfName } from '../catalog/root.ts';
import type { TableName } from '../catalog/selection.ts';
import type { Shape } from '../catalog/shape.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { insertChunks } from '../control/chunk.ts';
import { readNewestGeneration } from '../control/generation.ts';
import { requireMigration } from '../control/migration.ts';
import {
  forgetRelations,
  joinGeneration,
  markTreesAgain,
  numbersOf,
  readPlannedRelations,
  readUnfinished,
  registerRelations,
  renameRelation,
  storeShapes,
} from '../control/relation.ts';
import type { PlannedRelationRow, PlannedShape } from '../control/relation.ts';
import { judgeTrees, movedIn } from '../control/tree.ts';
import type { Turn } from '../control/turn.ts';
import { withRows } from '../schema/existing.ts';
import { cutTables } from './chunking.ts';
import { endCopiers } from './claim.ts';
import { snapshotLost } from './imported.ts';
import { isQuiet } from './quiet.ts';

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
  /** The target's tables for them. */
  readonly counterparts: readonly Relation[];
  readonly chunkBytes: number;
}

/**
 * Takes everything unfinished into the generation. Idempotent: what it has already is left alone.
 * @param found the selected tables as the generation's snapshot sees them; a planned table that is not among them was dropped
 *   before, and so were all changes that could be for it: it has nothing to copy.
 * @throws MigrationError `SnapshotLost` when there is a newer generation, or the stream has passed this one;
 *   `Fenced` when a later attempt has begun; `SchemaDrift` when a table that was never copied holds rows on the target.
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
  await refuseFilled(target, tables, plan.counterparts);
  const filled = await forget(
    target,
    migration,
    tables.map(({ id }) => id),
  );
  await empty(
    target,
    // What was streamed into a table that is copied again has no mark.
    destinationsOf([
      ...tables.filter(({ id, rewritten }) => filled.has(id) || rewritten),
      ...marked,
    ]),
  );
  const there = new Map(plan.found.map((relation) => [nameOf(relation), relation]));
  const sized = tables.flatMap((table) => {
    const relation = there.get(nameOf(table));
    if (!relation) return [];
    const { pages, bytes, accessMethod } = relation;
    return [{ id: table.id, pages, bytes, splittable: accessMethod === 'heap' }];
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
  await storeShapes(target, migration, shapesOf(tables, plan));
  return tables.length;
}

/**
 * Tables that were renamed on both sides since the stream last looked: taken for new ones, they would be copied onto the rows that
 * they hold. Only the plain case, in which nothing has the old name on the target and nothing had the new one. Under a name that
 * goes on with another table either that table's oid shows it, or its rows do.
 */
async function followNames(
  target: pg.ClientBase,
  migration: Migration,
  found: readonly Relation[],
): Promise<void> {
  const rows = await readPlannedRelations(target, migration);
  const planned = new Set(rows.map(nameOf));
  const names = new Map(found.map((relation) => [relation.oid, relation]));
  const moved = rows.flatMap((row) => {
    const to = names.get(row.oid);
    if (row.generation === null || !to || planned.has(nameOf(to))) return [];
    return row.viaRoot === null && to.viaRoot === null ? [{ row, to }] : [];
  });
  if (moved.length === 0) return;
  const before = moved.map(({ row }) => row);
  const there = new Set((await readRelationsNamed(target, before)).map(nameOf));
  for (const { row, to } of moved) {
    if (!there.has(nameOf(row))) await renameRelation(target, migration, row.id, to);
  }
}

/**
 * Registers the tables. Partitions that go through their root are what the stream's audit would say of them (control/tree.ts):
 * whoever looks first after a DDL decides.
 */
async function followTrees(
  target: pg.ClientBase,
  migration: Migration,
  { found, shapes }: TakePlan,
): Promise<void> {
  const rows = await readPlannedRelations(target, migration);
  const trees = judgeTrees(rows, found, shapes);
  const entering = movedIn(rows, found);
  const left = trees.flatMap((tree) => tree.left);
  // A root that is gone is emptied, and the stream's audit asks for it.
  const here = new Set(found.map(keyOfName));
  const roots = left.filter((row) => isViaRoot(row) && !here.has(keyOfName(row)));
  const there = new Set((await readRelationsNamed(target, roots)).map(keyOfName));
  const asked = (row: PlannedRelationRow) => roots.includes(row) && there.has(keyOfName(row));
  const gone = [...left.filter((row) => !asked(row)), ...entering];
  if (gone.length > 0) {
    const own = (await readRelationsNamed(target, entering)).filter((one) => !one.isPartition);
    if (own.length > 0) {
      const shown = own.slice(0, NAMES_SHOWN).map(({ schema, name }) => `${schema}.${name}`);
      throw new MigrationError(
        'SchemaDrift',
        `partitions on the source now, whose rows go through their root: drop them on the target: ${shown.join(', ')}`,
      );
    }
    const ids = gone.map(({ id }) => id);
    await forget(target, migration, ids);
    await forgetRelations(target, migration, ids);
  }
  await registerRelations(target, migration, found);
  const again = trees.filter(({ reason }) => reason !== null);
  await markTreesAgain(
    target,
    migration,
    again.map(({ root }) => root),
  );
  for (const { reason, generation, joining } of trees) {
    if (reason === null && generation !== null) {
      await joinGeneration(target, migration, joining, generation);
    }
  }
}

/** What was never copied holds nothing of ours: with rows there already, each would be there twice. */
async function refuseFilled(
  target: pg.ClientBase,
  tables: readonly PlannedRelationRow[],
  counterparts: readonly Relation[],
): Promise<void> {
  const there = new Set(counterparts.map(nameOf));
  const begun = new Set(
    tables
      .filter(({ generation, rewritten }) => generation !== null || rewritten)
      .map((table) => nameOf(destinationOf(table))),
  );
  const fresh = destinationsOf(tables).filter(
    (table) => !begun.has(nameOf(table)) && there.has(nameOf(table)),
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
): Map<number, PlannedShape> {
  const here = new Map(found.map((relation) => [nameOf(relation), relation]));
  const there = new Map(counterparts.map((relation) => [nameOf(relation), relation]));
  return new Map(
    tables.flatMap((table) => {
      const relation = here.get(nameOf(table));
      const source = relation && shapes.get(relation.oid);
      const target = there.get(nameOf(destinationOf(table)));
      if (!source || !target) return [];
      return [[table.id, { source, key: relation.key, target: numbersOf(target) }] as const];
    }),
  );
}

/** Removes the tables' chunks and marks. @returns the tables of which a chunk was marked: only they hold rows. */
async function forget(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<Set<number>> {
  const { rows } = await target.query<{ undone: number[] | null; filled: number[] | null }>(
    /* sql */ `
    select array_agg(c.id) filter (where c.done_at is null) as undone,
           array_agg(distinct r) filter (where c.done_at is not null) as filled
      from walferry.chunk c, unnest(c.relations) r
     where c.migration = $1 and r = any($2::integer[])`,
    [migration.id, ids],
  );
  // Copiers lock the chunk before the table; the same order here, or the two would wait for each other.
  await endCopiers(target, migration, rows[0]?.undone ?? []);
  await target.query(
    /* sql */ `
    delete from walferry.chunk where migration = $1 and relations <@ $2::integer[]`,
    [migration.id, ids],
  );
  // A bundle's other tables keep their mark.
  await target.query(
    /* sql */ `
    update walferry.chunk c
       set relations = array(select r from unnest(c.relations) r where r <> all($2::integer[]))
     where migration = $1 and relations && $2::integer[]`,
    [migration.id, ids],
  );
  return new Set(rows[0]?.filled);
}

/**
 * Empties tables. All in one statement, because foreign keys between them allow no other way; where one from outside of that
 * statement points in, TRUNCATE is refused, and the rows are deleted with the triggers quiet.
 */
async function empty(target: pg.ClientBase, tables: readonly TableName[]): Promise<void> {
  if (tables.length === 0) return;
  const names = tables.map(quoted);
  const { rows } = await target.query<{ name: string; partitioned: boolean; referenced: boolean }>(
    /* sql */ `
    with recursive named as (select n as name, n::regclass::oid as oid from unnest($1::text[]) n),
    -- A partitioned table goes with its partitions.
    given as (
      select name, oid from named
      union
      select n.name, t.relid::oid from named n cross join lateral pg_catalog.pg_partition_tree(n.oid) t),
    -- A table that is deleted from leaves the TRUNCATE, and then points in from outside itself.
    deleted (name) as (
      select g.name
        from given g join pg_catalog.pg_constraint k on k.confrelid = g.oid and k.contype = 'f'
       where k.conrelid <> all (select oid from given)
      union
      select p.name
        from deleted d
        join given g on g.name = d.name
        join pg_catalog.pg_constraint k on k.conrelid = g.oid and k.contype = 'f'
        join given p on p.oid = k.confrelid)
    select n.name, c.relkind = 'p' as partitioned, n.name in (select name from deleted) as referenced
      from named n join pg_catalog.pg_class c on c.oid = n.oid`,
    [names],
  );
  const referenced = rows.filter((row) => row.referenced);
  if (referenced.length > 0 && !(await isQuiet(target))) {
    // Loud foreign keys could cascade into tables that are finished.
    throw new MigrationError(
      'Denied',
      `foreign keys of the target point at tables that have to be emptied (${referenced.map(({ name }) => name).join(', ')}): the role needs the right to set session_replication_role, or drop them until cutover`,
    );
  }
  const whole = ({ name, partitioned }: { name: string; partitioned: boolean }) =>
    partitioned ? name : `only ${name}`;
  for (const one of referenced) await target.query(/* sql */ `delete from ${whole(one)}`);
  const rest = rows.filter((row) => !row.referenced).map(whole);
  if (rest.length > 0) await target.query(/* sql */ `truncate ${rest.join(', ')}`);
}

function quoted({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}

function nameOf({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return JSON.stringify([schema, name]);
}
