/**
 * The plan's tables in the control schema, as they are read: which tables the migration moves, the state of each, and the
 * exported snapshot under which it is copied. The copy takes its work from here, the stream its filter. table-move.ts changes
 * them. No reader sees dropped tables.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { TableState } from '../../contract/table-state.ts';
import type { TableName } from '../catalog/selection.ts';
import type { PlannedDefinition } from './planned-definition.ts';
import { standingOf, type Standing } from './table-state.ts';

interface PlannedTable {
  /** Number within the migration. */
  readonly id: number;
  /** Oid on the source at the last check; 0 while it is absent. */
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** The table on the target for its rows, unless it is the one with the same name (catalog/row-destination.ts). */
  readonly viaRoot: TableName | null;
  readonly pages: number;
  readonly estimatedRows: number;
  readonly estimatedBytes: number;
}

/** Without the definition, which is most of the data. */
export type PlannedSize = PlannedTable & Standing;

/** Partitioned tables, without rows, are listed because a TRUNCATE can name them. */
export type PlannedRelationRow = PlannedSize & {
  /** Definition that the stream's changes have at the confirmed LSN; null before the first check. */
  readonly definition: PlannedDefinition | null;
};

interface Row {
  id: number;
  oid: string;
  schema: string;
  name: string;
  kind: 'r' | 'p';
  root: TableName | null;
  state: TableState;
  pass: number | null;
  reason: string | null;
  pages: string;
  rows: string;
  bytes: string;
}

const ROOT = /* sql */ `
  case when root_name is not null then json_build_object('schema', root_schema, 'name', root_name) end as root`;
const SIZES = /* sql */ `
  id, source_oid::text as oid, schema_name as schema, table_name as name, kind, ${ROOT}, state, pass, reason,
  pages::text, estimated_rows::text as rows, estimated_bytes::text as bytes`;
const PLANNED = /* sql */ `
  from walferry.relation where migration = $1 and state <> 'dropped' order by id`;

/** All tables of the plan, in the order of their numbers. */
export async function readPlannedRelations(
  target: pg.ClientBase,
  migration: Migration,
): Promise<PlannedRelationRow[]> {
  const { rows } = await target.query<Row & { definition: PlannedDefinition | null }>(
    /* sql */ `select ${SIZES}, definition ${PLANNED}`,
    [migration.id],
  );
  return rows.map((row) => ({ ...sizeOf(row), definition: row.definition }));
}

/** The same without definitions. */
export async function readPlannedSizes(
  target: pg.ClientBase,
  migration: Migration,
): Promise<PlannedSize[]> {
  const { rows } = await target.query<Row>(/* sql */ `select ${SIZES} ${PLANNED}`, [migration.id]);
  return rows.map(sizeOf);
}

function sizeOf(row: Row): PlannedSize {
  return {
    id: row.id,
    oid: Number(row.oid),
    schema: row.schema,
    name: row.name,
    viaRoot: row.root,
    pages: Number(row.pages),
    estimatedRows: Number(row.rows),
    estimatedBytes: Number(row.bytes),
    ...standingOf(row),
  };
}

/** Names and destinations of some tables of the plan: a run of the copy needs neither the others nor definitions. */
export async function readDestinations(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<Pick<PlannedTable, 'id' | 'schema' | 'name' | 'viaRoot'>[]> {
  const { rows } = await target.query<Pick<Row, 'id' | 'schema' | 'name' | 'root'>>(
    /* sql */ `
    select id, schema_name as schema, table_name as name, ${ROOT}
      from walferry.relation where migration = $1 and id = any($2) and state <> 'dropped'`,
    [migration.id, ids],
  );
  return rows.map(({ root, ...row }) => ({ ...row, viaRoot: root }));
}

/**
 * Numbers of the tables that the pass still has to take. A root in a resync counts, too: it must be emptied even if it has no
 * partition.
 * @param pass its tables that are being copied or need a resync are not taken again; null: all unfinished tables.
 */
export async function readUnfinished(
  target: pg.ClientBase,
  migration: Migration,
  pass: number | null,
): Promise<number[]> {
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `
    select id from walferry.relation
     where migration = $1
       and (state = 'pending'
            or state in ('copying', 'resync') and (pass is null or pass is distinct from $2::integer))
     order by id`,
    [migration.id, pass],
  );
  return rows.map(({ id }) => id);
}

/** Which of these tables a chunk of the pass may still copy: not those in a resync. */
export async function readCopying(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
  pass: number,
): Promise<Set<number>> {
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `
    select id from walferry.relation
     where migration = $1 and id = any($2) and pass = $3 and state = 'copying'`,
    [migration.id, ids, pass],
  );
  return new Set(rows.map(({ id }) => id));
}

/** How many of these tables the pass cannot copy. */
export async function countSpoiled(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
  pass: number,
): Promise<number> {
  const { rows } = await target.query<{ count: number }>(
    /* sql */ `
    select count(*)::integer as count from walferry.relation
     where migration = $1 and id = any($2) and pass = $3 and state = 'resync'`,
    [migration.id, ids, pass],
  );
  return rows[0]?.count ?? 0;
}

/** Whether the target has a plan: without a control schema it has none. */
export async function hasPlan(target: pg.ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ there: boolean }>(
    /* sql */ `select pg_catalog.to_regclass('walferry.relation') is not null as there`,
  );
  return rows[0]?.there === true;
}

/** Subquery for the names of the plan's tables; $1: the migration's id. */
export const PLANNED_NAMES = /* sql */ `
  select schema_name, table_name from walferry.relation where migration = $1 and state <> 'dropped'`;

/** Subquery for the names of the target's tables for their rows, of those that were there before or hold a tree; $3: of all. */
export const PLANNED_DESTINATIONS = /* sql */ `
  select coalesce(root_schema, schema_name), coalesce(root_name, table_name) from walferry.relation
   where migration = $1 and state <> 'dropped' and ($3 or root_name is not null or exists (
     select from walferry.migration m where m.id = $1 and m.tables_created is false))`;
