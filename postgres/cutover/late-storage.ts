/**
 * The part of the final check that no slot shows: tables that may have changed without WAL, whose values DDL changed, or that left the
 * selection under another name, since the drain. The shapes on the target are those that the stream has followed.
 */
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import { ignoredAmong } from '../catalog/ignored.ts';
import { readRelations, type Relation } from '../catalog/relation.ts';
import type { SchemaRows } from '../catalog/schema-row.ts';
import { compareShapes, readShapes, type Shape } from '../catalog/shape.ts';
import { nameOf } from '../catalog/table-name.ts';
import { readTypeGraph, type TypeGraph } from '../catalog/type-graph.ts';
import { isAltered } from '../catalog/type-record.ts';
import { classify } from '../connection/failure.ts';
import type { Work } from '../../contract/work.ts';
import { connectSource, connectTarget } from '../identity/connect.ts';
import { whileAllWatched } from '../schema/watch.ts';
import { readPlannedRelations, type PlannedRelationRow } from '../control/relation.ts';
import { readRecordedSchemas } from '../control/schema-row.ts';
import { LOCK_TIMEOUT_MS, withoutWaiting } from './short-lock.ts';

/** What the stream has followed. */
export interface FollowedPlan {
  /** The source's schemas at the time; null when none were recorded. */
  readonly schemas: SchemaRows | null;
  readonly tables: readonly PlannedRelationRow[];
}

/**
 * Names of the selected tables that are not what the stream has followed.
 * @throws MigrationError `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function changedWithoutTrace(
  migration: Migration,
  input: MigrationInput,
  { tables }: FollowedPlan,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<string[]> {
  const rows = new Map(tables.map((row) => [row.oid, row]));
  const { relations, shapes, types } = await present(migration, input, [...rows.keys()], work);
  // Its changes come under a name that is not looked for, and which table has them now only its oid says.
  const selected = new Map(relations.map((table) => [table.oid, nameOf(table)]));
  const moved = [...rows.values()].filter(
    (row) => shapes.has(row.oid) && selected.get(row.oid) !== nameOf(row),
  );
  const ignored = ignoredAmong(relations, input.ignore);
  const altered = relations.filter((table) => {
    if (table.kind !== 'r') return false;
    const now = shapes.get(table.oid);
    const followed = rows.get(table.oid)?.shape;
    const before = followed?.source;
    if (now?.persistence === 'u') return before?.persistence !== 'u' || !ignored.unlogged(table);
    // A table that is new is seen by its changes, and one that is gone by nothing: dropping it is no change of a row.
    if (!before || !now) return false;
    const { opaque, replaced } = compareShapes(before, now);
    return (
      opaque !== null ||
      replaced ||
      before.persistence === 'u' ||
      isAltered(followed?.types, table.columns, types)
    );
  });
  return [...altered, ...moved].map(nameOf);
}

async function present(
  migration: Migration,
  input: MigrationInput,
  /** Of tables to look at beside those that are selected. */
  others: readonly number[],
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<{
  readonly relations: readonly Relation[];
  readonly shapes: Map<number, Shape>;
  readonly types: TypeGraph;
}> {
  const { signal } = work;
  try {
    await using source = await connectSource(migration, 'cutover', {
      ...{ signal, lockTimeoutMs: LOCK_TIMEOUT_MS },
    });
    const read = async () => {
      const found = await readRelations(source, input.tables, 'estimated');
      // All of them, or what a root accepts of its partitions could not be seen.
      const oids = found.flatMap(({ oid, kind }) => (kind === 'r' ? [oid] : []));
      return {
        relations: found,
        shapes: await readShapes(source, [...new Set([...oids, ...others])]),
        types: await readTypeGraph(source, found),
      };
    };
    return await whileAllWatched(
      [{ side: 'source', migration, purpose: 'cutover', client: source }],
      work,
      () => ({ step: STEP }),
      () => withoutWaiting(source, read),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: STEP, side: 'source' }, 'Internal');
  }
}

/** Reads it on the target. @throws as {@link changedWithoutTrace}. */
export async function readFollowed(
  migration: Migration,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<FollowedPlan> {
  const { signal } = work;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    const { rows } = await target.query<{ there: boolean }>(
      /* sql */ `select pg_catalog.to_regclass('walferry.relation') is not null as there`,
    );
    // Without the control schema there is nothing to compare with; the next step takes the epoch, and stops then.
    if (rows[0]?.there !== true) return { schemas: null, tables: [] };
    return await whileAllWatched(
      [{ side: 'target', migration, purpose: 'cutover', client: target }],
      work,
      () => ({ step: STEP }),
      async () => ({
        schemas: await readRecordedSchemas(target, migration),
        tables: await readPlannedRelations(target, migration),
      }),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: STEP, side: 'target' }, 'Internal');
  }
}

const STEP = 'looking for tables that changed outside the stream';
