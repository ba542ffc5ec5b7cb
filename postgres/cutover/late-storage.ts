/**
 * The part of the final check that the slot does not show: tables that, since the drain, may have changed without WAL, had values
 * changed by DDL, or left the selection under another name. The recorded definitions are those that the stream has followed.
 */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { ignoredAmong } from '../catalog/ignore-patterns.ts';
import type { Relation } from '../catalog/relation.ts';
import { readRelations, readRelationsNamed } from '../catalog/read-relations.ts';
import { destinationOf, destinationsOf } from '../catalog/row-destination.ts';
import type { SchemaRows } from '../catalog/schema-row.ts';
import {
  compareDefinitions,
  readDefinitions,
  type TableDefinition,
} from '../catalog/table-definition.ts';
import { keyOfName, nameOf, quoted } from '../catalog/table-name.ts';
import { readTypeGraph, type TypeGraph } from '../catalog/type-graph.ts';
import { isAltered } from '../catalog/type-record.ts';
import { classify } from '../connection/failure.ts';
import type { Work } from '../../contract/work.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { withRows } from '../schema/existing.ts';
import { whileWatched } from '../session/liveness.ts';
import {
  readPlannedRelations,
  type PlannedRelationRow,
  hasPlan,
} from '../store/planned-relation.ts';
import { readRecordedSchemas } from '../store/recorded-schema.ts';
import { followColumns } from '../drift/follow.ts';
import { LOCK_TIMEOUT_MS, withoutWaiting } from './short-lock.ts';

/** The definitions that the stream has followed. */
export interface FollowedPlan {
  /** The source's schemas at that time; null if none are recorded. */
  readonly schemas: SchemaRows | null;
  readonly tables: readonly PlannedRelationRow[];
}

/**
 * Names of the selected tables that differ from what the stream has followed.
 * @throws MigrationError `Unreachable`, `Denied`; `signal.reason` when aborted.
 */
export async function changedWithoutTrace(
  migration: Migration,
  input: MigrationInput,
  { tables }: FollowedPlan,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<string[]> {
  const rows = new Map(tables.map((row) => [row.oid, row]));
  const names = new Set(tables.map(keyOfName));
  const { relations, definitions, types, filled } = await present(
    migration,
    input,
    [...rows.keys()],
    work,
  );
  // Changes of a renamed table come under a name that is not searched for; only its oid identifies it.
  const selected = new Map(relations.map((table) => [table.oid, nameOf(table)]));
  const moved = [...rows.values()].filter(
    (row) => definitions.has(row.oid) && selected.get(row.oid) !== nameOf(row),
  );
  const ignored = ignoredAmong(relations, input.ignore);
  const reshaped: Reshaped[] = [];
  const altered = relations.filter((table) => {
    if (table.kind !== 'r') return false;
    const now = definitions.get(table.oid);
    const row = rows.get(table.oid);
    const before = row?.definition?.source;
    if (now?.persistence === 'u') return before?.persistence !== 'u' || !ignored.unlogged(table);
    // Attached, moved or renamed into the selection, or created under the name of a copied table. An empty one lacks nothing.
    // Dropped tables are not reported: a drop changes no row.
    if (!row) return filled.has(table.oid) || names.has(keyOfName(table));
    // Joined or left a tree that is one table on the target.
    if (keyOfName(destinationOf(row)) !== keyOfName(destinationOf(table))) return true;
    if (!before || !now) return false;
    if (row.viaRoot !== null && before.place !== now.place) return true;
    const { opaque, replaced, added, dropped, renamed } = compareDefinitions(before, now);
    if (added.length + dropped.length + renamed.length > 0) {
      reshaped.push({ row, source: table, now });
    }
    return (
      opaque !== null ||
      replaced ||
      before.persistence === 'u' ||
      isAltered(row.definition?.types, table.columns, types)
    );
  });
  const unlike = await unlikeOnTarget(migration, reshaped, work);
  return [...altered, ...unlike, ...moved].map(nameOf);
}

/** A table whose columns differ from those that the stream has followed. */
interface Reshaped {
  readonly row: PlannedRelationRow;
  readonly source: Relation;
  readonly now: TableDefinition;
}

/** Tables whose columns have no counterpart on the target: values may be missing there although no row changed. */
async function unlikeOnTarget(
  migration: Migration,
  reshaped: readonly Reshaped[],
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<Relation[]> {
  if (reshaped.length === 0) return [];
  return onTarget(migration, work, async (target) => {
    const there = await readRelationsNamed(target, destinationsOf(reshaped.map(({ row }) => row)));
    const byName = new Map(there.map((one) => [keyOfName(one), one]));
    const definitions = await readDefinitions(
      target,
      there.map(({ oid }) => oid),
      true,
    );
    return reshaped.flatMap(({ row, source, now }) => {
      const counterpart = byName.get(keyOfName(destinationOf(row)));
      if (!counterpart) return [source];
      const sides = {
        source,
        target: counterpart,
        now,
        targetDefinition: definitions.get(counterpart.oid),
      };
      const { drift, ahead, again } = followColumns(row, sides);
      return drift.length + ahead.length > 0 || again !== null ? [source] : [];
    });
  });
}

async function present(
  migration: Migration,
  input: MigrationInput,
  /** Oids of further tables to read, selected or not. */
  others: readonly number[],
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<{
  readonly relations: readonly Relation[];
  readonly definitions: Map<number, TableDefinition>;
  readonly types: TypeGraph;
  /** Oids of selected tables, not among `others`, that have rows. */
  readonly filled: ReadonlySet<number>;
}> {
  const { signal } = work;
  try {
    await using source = await connectSource(migration, 'cutover', {
      ...{ signal, lockTimeoutMs: LOCK_TIMEOUT_MS },
    });
    const read = async () => {
      const found = await readRelations(source, input.tables, 'estimated');
      // All tables: whether a root's unlogged partitions are ignored depends on all its partitions.
      const oids = found.flatMap(({ oid, kind }) => (kind === 'r' ? [oid] : []));
      const known = new Set(others);
      // Without a plan no table can be missing from it.
      const fresh = found.filter(
        ({ oid, kind }) => kind === 'r' && known.size > 0 && !known.has(oid),
      );
      const filled = await withRows(
        source,
        fresh.map(({ oid, schema, name }) => ({ oid, sql: quoted({ schema, name }) })),
      );
      return {
        filled: new Set(filled.map(({ oid }) => oid)),
        relations: found,
        definitions: await readDefinitions(source, [...new Set([...oids, ...others])]),
        types: await readTypeGraph(source, found),
      };
    };
    return await whileWatched(
      [source],
      work,
      () => ({ step: STEP }),
      () => withoutWaiting(source, read),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: STEP, side: 'source' }, 'Internal');
  }
}

/** Reads the plan on the target. @throws as {@link changedWithoutTrace}. */
export async function readFollowed(
  migration: Migration,
  work: Pick<Work, 'signal' | 'beat'>,
): Promise<FollowedPlan> {
  return onTarget(migration, work, async (target) => {
    // Without the control schema there is nothing to compare; the next step takes the epoch and fails.
    if (!(await hasPlan(target))) return { schemas: null, tables: [] };
    return {
      schemas: await readRecordedSchemas(target, migration),
      tables: await readPlannedRelations(target, migration),
    };
  });
}

async function onTarget<T>(
  migration: Migration,
  work: Pick<Work, 'signal' | 'beat'>,
  read: (target: pg.ClientBase) => Promise<T>,
): Promise<T> {
  const { signal } = work;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    return await whileWatched(
      [target],
      work,
      () => ({ step: STEP }),
      () => read(target),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: STEP, side: 'target' }, 'Internal');
  }
}

const STEP = 'checking for tables that changed outside the stream';
