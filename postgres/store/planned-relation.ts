/**
 * The plan's tables in the control schema: which tables the migration moves, and the exported snapshot under which each is
 * copied. The copy takes its work from here, the stream its filter.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Keeper } from '../catalog/table-file.ts';
import type { Relation } from '../catalog/relation.ts';
import type { TableName } from '../catalog/selection.ts';
import type { RecordedTypes } from '../catalog/type-record.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';

export interface PlannedRelationRow {
  /** Number within the migration. */
  readonly id: number;
  /** Oid on the source at the last check. */
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Partitioned tables have no rows; they are listed because a TRUNCATE can name them. */
  readonly kind: 'r' | 'p';
  /** The table on the target for its rows, unless it is the one with the same name (catalog/root.ts). */
  readonly viaRoot: TableName | null;
  /** The pass that copies all its chunks; null: none yet. */
  readonly pass: number | null;
  /**
   * Needs a resync in the next pass, e.g. after a rewrite or TRUNCATE during its copy. Of a root: its target table is emptied.
   */
  readonly rewritten: boolean;
  /** Definition that the stream's changes have at the confirmed LSN; null before the first check. */
  readonly definition: PlannedDefinition | null;
  readonly pages: number;
  readonly estimatedRows: number;
  readonly estimatedBytes: number;
}

/** The source's columns as the stream has followed them, and the target's attribute numbers at that time. */
export interface PlannedDefinition {
  readonly source: TableDefinition;
  /** Columns by which the source's changes find their row. */
  readonly key: readonly string[] | null;
  /** Attribute numbers by column name: a column that was dropped and re-added on the target has lost its values. */
  readonly target: Readonly<Record<string, number>>;
  /** The target's table and file at the last check; unset by earlier versions. */
  readonly keeper?: Keeper;
  /** Parts of the columns' types; unset before the first check. */
  readonly types?: RecordedTypes;
}

type Registered = Pick<
  Relation,
  'oid' | 'schema' | 'name' | 'kind' | 'pages' | 'estimatedRows' | 'bytes' | 'viaRoot'
>;

/** Adds tables to the plan, without foreign ones, and refreshes oids and sizes of existing entries. Idempotent. */
export async function registerRelations(
  target: pg.ClientBase,
  migration: Migration,
  relations: readonly Registered[],
): Promise<void> {
  const kept = relations.filter(({ kind }) => kind !== 'f');
  await target.query(
    /* sql */ `
    insert into walferry.relation as r
      (migration, id, source_oid, schema_name, table_name, kind, pages, estimated_rows, estimated_bytes,
       root_schema, root_name)
    select $1, last.id + row_number() over (order by new.at), new.oid, new.schema, new.name, new.kind,
           new.pages, new.rows, new.bytes, new.root_schema, new.root_name
      from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
                  $9::text[], $10::text[])
             with ordinality as new (oid, schema, name, kind, pages, rows, bytes, root_schema, root_name, at),
           (select coalesce(max(id), 0) as id from walferry.relation where migration = $1) last
    on conflict (migration, schema_name, table_name) do update
       -- A table that was dropped and recreated is not the one that was copied.
       set rewritten = r.rewritten or (r.source_oid <> excluded.source_oid and r.pass is not null),
           source_oid = excluded.source_oid, kind = excluded.kind, pages = excluded.pages,
           root_schema = excluded.root_schema, root_name = excluded.root_name,
           estimated_rows = excluded.estimated_rows, estimated_bytes = excluded.estimated_bytes`,
    [
      migration.id,
      kept.map(({ oid }) => oid),
      kept.map(({ schema }) => schema),
      kept.map(({ name }) => name),
      kept.map(({ kind }) => kind),
      kept.map(({ pages }) => pages),
      kept.map(({ estimatedRows }) => estimatedRows),
      kept.map(({ bytes }) => bytes),
      kept.map(({ viaRoot }) => viaRoot?.schema ?? null),
      kept.map(({ viaRoot }) => viaRoot?.name ?? null),
    ],
  );
}

interface Row {
  id: number;
  oid: string;
  schema: string;
  name: string;
  kind: 'r' | 'p';
  root: TableName | null;
  pass: number | null;
  rewritten: boolean;
  definition: PlannedDefinition | null;
  pages: string;
  rows: string;
  bytes: string;
}

/** All tables of the plan, in the order of their numbers. */
export async function readPlannedRelations(
  target: pg.ClientBase,
  migration: Migration,
): Promise<PlannedRelationRow[]> {
  return readRows(target, migration, 'definition');
}

/** The same without definitions, which are most of the data. */
export async function readPlannedSizes(
  target: pg.ClientBase,
  migration: Migration,
): Promise<Omit<PlannedRelationRow, 'definition'>[]> {
  return readRows(target, migration, 'null as definition');
}

async function readRows(
  target: pg.ClientBase,
  migration: Migration,
  definition: 'definition' | 'null as definition',
): Promise<PlannedRelationRow[]> {
  const { rows } = await target.query<Row>(
    /* sql */ `
    select id, source_oid::text as oid, schema_name as schema, table_name as name, kind, pass,
           case when root_name is not null then json_build_object('schema', root_schema, 'name', root_name) end as root,
           rewritten, ${definition}, pages::text, estimated_rows::text as rows, estimated_bytes::text as bytes
      from walferry.relation where migration = $1 order by id`,
    [migration.id],
  );
  return rows.map((row) => ({
    id: row.id,
    oid: Number(row.oid),
    schema: row.schema,
    name: row.name,
    kind: row.kind,
    viaRoot: row.root,
    pass: row.pass,
    rewritten: row.rewritten,
    definition: row.definition,
    pages: Number(row.pages),
    estimatedRows: Number(row.rows),
    estimatedBytes: Number(row.bytes),
  }));
}

/** Names and destinations of some tables of the plan: a run of the copy needs neither the others nor definitions. */
export async function readDestinations(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<Pick<PlannedRelationRow, 'id' | 'schema' | 'name' | 'viaRoot'>[]> {
  const { rows } = await target.query<Pick<Row, 'id' | 'schema' | 'name' | 'root'>>(
    /* sql */ `
    select id, schema_name as schema, table_name as name,
           case when root_name is not null then json_build_object('schema', root_schema, 'name', root_name) end as root
      from walferry.relation where migration = $1 and id = any($2)`,
    [migration.id, ids],
  );
  return rows.map(({ root, ...row }) => ({ ...row, viaRoot: root }));
}

/**
 * Numbers of the tables that the pass still has to take: those without a pass, and those of another pass that have unfinished
 * chunks or need a resync. A marked root counts, too: it must be emptied even if it has no partition.
 * @param pass null: all unfinished tables.
 */
export async function readUnfinished(
  target: pg.ClientBase,
  migration: Migration,
  pass: number | null,
): Promise<number[]> {
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `
    select r.id from walferry.relation r
     where r.migration = $1 and (r.kind = 'r' or r.rewritten and r.root_name is not null)
       and (r.pass is null
            or (r.rewritten and r.pass is distinct from $2::integer)
            or r.id in (select unnest(c.relations) from walferry.chunk c
                         where c.migration = $1 and c.done_at is null
                           and c.pass is distinct from $2::integer))
     order by r.id`,
    [migration.id, pass],
  );
  return rows.map(({ id }) => id);
}

/** A table's attribute numbers by column name. */
export function numbersOf(relation: Pick<Relation, 'columns'>): Record<string, number> {
  return Object.fromEntries(relation.columns.map(({ name, attnum }) => [name, attnum]));
}

/** Characters per statement: encoding the definitions of wide tables all at once would block heartbeats. */
const DEFINITION_CHARACTERS = 1_000_000;

/** Stores the definitions that the stream has followed, in several statements. */
export async function storeDefinitions(
  target: pg.ClientBase,
  migration: Migration,
  definitions: ReadonlyMap<number, PlannedDefinition>,
): Promise<void> {
  let [ids, texts, size]: [number[], string[], number] = [[], [], 0];
  const store = async (): Promise<void> => {
    await target.query(
      /* sql */ `
      update walferry.relation r set definition = new.definition
        from unnest($2::integer[], $3::text[]) as given (id, text), lateral (select given.text::jsonb as definition) new
       where r.migration = $1 and r.id = given.id`,
      [migration.id, ids, texts],
    );
    [ids, texts, size] = [[], [], 0];
  };
  for (const [id, definition] of definitions) {
    const text = JSON.stringify(definition);
    ids.push(id);
    texts.push(text);
    size += text.length;
    if (size >= DEFINITION_CHARACTERS) await store();
  }
  if (ids.length > 0) await store();
}

/** Stores the current files of tables on the target; the rest of their definitions stays. */
export async function storeKeepers(
  target: pg.ClientBase,
  migration: Migration,
  keepers: ReadonlyMap<number, Keeper>,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.relation r set definition = jsonb_set(r.definition, '{keeper}', new.keeper)
      from unnest($2::integer[], $3::text[]) as given (id, text), lateral (select given.text::jsonb as keeper) new
     where r.migration = $1 and r.id = given.id`,
    [
      migration.id,
      [...keepers.keys()],
      [...keepers.values()].map((keeper) => JSON.stringify(keeper)),
    ],
  );
}

/** Marks tables for a resync in the next pass. */
export async function markForResync(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.relation set rewritten = true where migration = $1 and id = any($2)`,
    [migration.id, ids],
  );
}

/**
 * Records that a snapshot did not contain these tables. No table has oid 0, so a check that finds their names later treats them
 * as new tables and resyncs them. With their oid they would count as copied without a row.
 */
export async function forgetOids(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.relation set source_oid = 0 where migration = $1 and id = any($2)`,
    [migration.id, ids],
  );
}

/** Marks all tables that go through these roots, and the roots, which the next pass empties first. */
export async function markTreesForResync(
  target: pg.ClientBase,
  migration: Migration,
  roots: readonly TableName[],
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.relation r set rewritten = true
      from unnest($2::text[], $3::text[]) as root (schema, name)
     where r.migration = $1 and r.root_schema = root.schema and r.root_name = root.name
       and (r.kind = 'r' or (r.schema_name, r.table_name) = (root.schema, root.name))`,
    [migration.id, roots.map(({ schema }) => schema), roots.map(({ name }) => name)],
  );
}

/** A partition that joins its tree without a copy. */
export interface Joining extends TableName {
  /** Its definition at this decision: the next drift check detects a later temporary name, place or file. */
  readonly definition: PlannedDefinition;
}

/** Adds partitions that were created after their tree's snapshot: none of their rows is in the copy, all are in the stream. */
export async function joinSnapshot(
  target: pg.ClientBase,
  migration: Migration,
  tables: readonly Joining[],
  pass: number,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.relation r set pass = $4, definition = joined.definition::jsonb
      from unnest($2::text[], $3::text[], $5::text[]) as joined (schema, name, definition)
     where r.migration = $1 and r.kind = 'r' and r.pass is null
       and r.schema_name = joined.schema and r.table_name = joined.name`,
    [
      migration.id,
      tables.map(({ schema }) => schema),
      tables.map(({ name }) => name),
      pass,
      tables.map(({ definition }) => JSON.stringify(definition)),
    ],
  );
}

/** For a table that was renamed on both sides. */
export async function renameRelation(
  target: pg.ClientBase,
  migration: Migration,
  id: number,
  to: { readonly schema: string; readonly name: string },
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.relation set schema_name = $3, table_name = $4, rewritten = true
                where migration = $1 and id = $2`,
    [migration.id, id, to.schema, to.name],
  );
}

/** Removes tables that are gone on both sides from the plan, and what is recorded of their copy. */
export async function forgetRelations(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<void> {
  await target.query(
    /* sql */ `
    with bundles as (
      update walferry.chunk set relations = array(select r from unnest(relations) r where r <> all($2::integer[]))
       where migration = $1 and relations && $2::integer[])
    delete from walferry.relation where migration = $1 and id = any($2)`,
    [migration.id, ids],
  );
}
