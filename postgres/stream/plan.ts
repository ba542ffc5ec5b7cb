/**
 * What the stream knows of the tables: the plan's rows, the generations they were copied under, and the catalogs of both
 * sides, compared before anything is applied (some DDL leaves no trace in the stream). A table that is met later and is not
 * in the plan is looked up once; unless it is certainly not to be moved, the stream stops.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { PlannedRelation } from '../apply/change.ts';
import { compareColumns, renderDifferences } from '../catalog/drift.ts';
import { readRelations, readRelationsNamed, type Relation } from '../catalog/relation.ts';
import { compileSelection, literalSchemas, type Selection } from '../catalog/selection.ts';
import { readGenerations } from '../control/generation.ts';
import {
  readPlannedRelations,
  readUnfinished,
  type PlannedRelationRow,
} from '../control/relation.ts';
import { filterEnd, isVisible, type Generation } from '../snapshot/visibility.ts';
import { Routes, type Route, type Unsettled } from './filter.ts';

const BYTEA_OID = 17;

export interface StreamPlan {
  readonly routes: Routes;
  /** Position of the newest generation: what commits at or after it is in no copy. Null when nothing was copied. */
  readonly newest: Lsn | null;
  /** Schemas to ask the plugin for; null for all. */
  readonly schemas: readonly string[] | null;
  /** Tables that the plugin is to leave out. */
  readonly without: readonly { readonly schema: string; readonly table: string }[];
  /** Decides about a table without a route. @throws MigrationError `UnknownRelation`. */
  settle(table: Unsettled): Promise<void>;
}

/**
 * Reads plan and catalogs and compares them.
 * @throws MigrationError `SchemaDrift` naming tables and columns.
 */
export async function readPlan(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  selection: Selection,
): Promise<StreamPlan> {
  // Marks that are gone again: the target crashed, and did not keep what it had committed.
  const unfinished = await readUnfinished(target, migration, null);
  if (unfinished.length > 0) {
    throw new MigrationError(
      'CheckpointMissing',
      `${unfinished.length} tables that were copied are not complete on "${migration.target}" any more: it lost committed work`,
    );
  }
  const rows = await readPlannedRelations(target, migration);
  const generations = await readGenerations(target, migration);
  const byNumber = new Map(generations.map((generation) => [generation.number, generation]));
  const here = await readRelationsNamed(source, rows);
  const there = await readRelationsNamed(target, rows);
  refuseDrift(rows, here, there);

  const sources = byName(here);
  const targets = byName(there);
  const routes = new Routes();
  for (const row of rows) {
    const relation = sources.get(nameOf(row));
    const counterpart = targets.get(nameOf(row));
    if (!relation || !counterpart) continue;
    // A partitioned table holds no rows; a TRUNCATE names it beside its leaves, which say everything.
    if (row.kind === 'p') routes.set(row.schema, row.name, null);
    else if (row.generation !== null) {
      const generation = byNumber.get(row.generation);
      routes.set(row.schema, row.name, routeOf(relation, counterpart, generation));
    }
  }
  const oldest = generations[0]?.lsn ?? null;
  return {
    routes,
    newest: filterEnd(generations),
    schemas: schemasOf(selection, rows),
    without: await unreadable(source, rows),
    settle: async (table) => {
      await refuseUnknown(source, selection, rows, oldest, table);
      routes.set(table.schema, table.table, null);
    },
  };
}

/**
 * Tables that are not to be moved and have no replica identity. Their updates and deletes would end the stream with a WARNING
 * that tells no table, again after every resume; the plugin warns of nothing that it was told to leave out. Other tables are
 * left out here: the plugin walks the list for every change.
 */
async function unreadable(
  source: pg.ClientBase,
  rows: readonly PlannedRelationRow[],
): Promise<{ schema: string; table: string }[]> {
  const found = await source.query<{ schema: string; table: string }>(
    /* sql */ `
    select n.nspname as schema, c.relname as "table"
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and c.relpersistence = 'p' and not c.oid = any($1::oid[])
       and n.nspname not in ('pg_catalog', 'information_schema')
       and (c.relreplident = 'n' or (c.relreplident = 'd' and not exists (
             select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indimmediate)))`,
    [rows.map(({ oid }) => oid)],
  );
  return found.rows;
}

function refuseDrift(
  rows: readonly PlannedRelationRow[],
  source: readonly Relation[],
  target: readonly Relation[],
): void {
  const sources = byName(source);
  for (const row of rows) {
    const table = `${row.schema}.${row.name}`;
    const relation = sources.get(nameOf(row));
    // Neither leaves a trace in the stream, and the target would keep the old rows.
    if (relation?.oid !== row.oid) {
      const what = relation ? 'is another table than the one that was copied' : 'is gone';
      throw new MigrationError('SchemaDrift', `table ${table} ${what} on the source`, { table });
    }
  }
  const differences = compareColumns(source, target);
  const first = differences[0];
  if (!first) return;
  throw new MigrationError(
    'SchemaDrift',
    `the tables of source and target differ: ${renderDifferences(differences)}`,
    {
      table: `${first.schema}.${first.table}`,
      ...(first.column === null ? {} : { column: first.column }),
    },
  );
}

function routeOf(source: Relation, target: Relation, generation: Generation | undefined): Route {
  const bytea = source.columns.filter(({ baseTypeOid }) => baseTypeOid === BYTEA_OID);
  return {
    relation: plannedRelation(source, target),
    columns: new Set(source.columns.map(({ name }) => name)),
    bytea: new Set(bytea.map(({ name }) => name)),
    copied: (xid) => generation !== undefined && isVisible(xid, generation),
  };
}

function plannedRelation(source: Relation, target: Relation): PlannedRelation {
  return {
    schema: source.schema,
    name: source.name,
    // A target that was made by somebody else may lack the key: then rows are found by what the source sends.
    key: sameColumns(source.key, target.key) ? source.key : null,
    full: source.identity === 'f',
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
function schemasOf(selection: Selection, rows: readonly PlannedRelationRow[]): string[] | null {
  const literal = literalSchemas(selection);
  return literal === null ? null : [...new Set([...literal, ...rows.map(({ schema }) => schema)])];
}

/** Returns when the table's changes can be left out. */
async function refuseUnknown(
  source: pg.ClientBase,
  selection: Selection,
  rows: readonly PlannedRelationRow[],
  oldest: Lsn | null,
  { schema, table, commitLsn }: Unsettled,
): Promise<void> {
  const planned = rows.some((row) => row.schema === schema && row.name === table);
  if (!planned) {
    const selected = await readRelations(source, selection);
    if (!selected.some((relation) => relation.schema === schema && relation.name === table)) {
      const oid = await oidOf(source, schema, table);
      const renamed = rows.find((row) => row.oid === oid);
      if (renamed) {
        throw new MigrationError(
          'SchemaDrift',
          `table ${renamed.schema}.${renamed.name} of the plan is named ${schema}.${table} on the source now, and changed there at ${commitLsn}`,
          { table: `${renamed.schema}.${renamed.name}`, lsn: commitLsn },
        );
      }
      // There and not selected: excluded, a materialized view (refreshed concurrently it sends changes), or an extension's.
      if (oid !== null) return;
      // Gone before the first copy began: no copy and no later change can hold its rows.
      if (oldest !== null && compareLsn(commitLsn, oldest) < 0) return;
      const matcher = compileSelection(selection);
      const name = { schema, name: table };
      if (!matcher.includes(name) || matcher.excludes(name)) return;
    }
  }
  const full = `${schema}.${table}`;
  throw new MigrationError(
    'UnknownRelation',
    planned
      ? `a change of table ${full} at ${commitLsn} arrived, but its rows were not copied`
      : `a change of table ${full} at ${commitLsn} arrived, which is selected but not in the plan`,
    { table: full, lsn: commitLsn },
  );
}

async function oidOf(source: pg.ClientBase, schema: string, table: string): Promise<number | null> {
  const { rows } = await source.query<{ oid: number }>(
    /* sql */ `select c.oid::int8::float8 as oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname = $1 and c.relname = $2`,
    [schema, table],
  );
  return rows[0]?.oid ?? null;
}

function byName(relations: readonly Relation[]): Map<string, Relation> {
  return new Map(relations.map((relation) => [nameOf(relation), relation]));
}

function nameOf(table: { readonly schema: string; readonly name: string }): string {
  return JSON.stringify([table.schema, table.name]);
}

function sameColumns(a: readonly string[] | null, b: readonly string[] | null): boolean {
  if (a === null || b === null || a.length !== b.length) return false;
  return a.every((name) => b.includes(name));
}
