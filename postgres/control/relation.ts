/**
 * The plan's tables in the control schema: which tables the migration moves, and the generation that each one's rows are of.
 * The copy takes its work from here, and the stream its filter.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Keeper } from '../catalog/file.ts';
import type { Relation } from '../catalog/relation.ts';
import type { TableName } from '../catalog/selection.ts';
import type { RecordedTypes } from '../catalog/type-record.ts';
import type { TableDefinition } from '../catalog/table-definition.ts';

export interface PlannedRelationRow {
  /** Number within the migration. */
  readonly id: number;
  /** Oid on the source when it was last looked at. */
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Partitioned tables hold no rows: they are here because a TRUNCATE names them. */
  readonly kind: 'r' | 'p';
  /** The table on the target that its rows go to, when it is not the one of its own name (catalog/root.ts). */
  readonly viaRoot: TableName | null;
  /** The generation of all its chunks; null: not taken yet. */
  readonly pass: number | null;
  /** A rewrite or TRUNCATE met its copy: the next round takes it again. Of a root that all go through: with all partitions. */
  readonly rewritten: boolean;
  /** What the stream's changes look like at the confirmed LSN; null: nobody has looked yet. */
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
  /** By column name. A column that was dropped and added again on the target has lost its values. */
  readonly target: Readonly<Record<string, number>>;
  /** The target's table when it was last looked at; unset in what earlier code stored. */
  readonly keeper?: Keeper;
  /** What the columns' types were made of; unset before the first check. */
  readonly types?: RecordedTypes;
}

type Registered = Pick<
  Relation,
  'oid' | 'schema' | 'name' | 'kind' | 'pages' | 'estimatedRows' | 'bytes' | 'viaRoot'
>;

/**
 * Adds tables to the plan and refreshes oids and sizes of those that are in it; foreign tables are left out. Idempotent; what
 * was copied of a table stays recorded.
 */
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
       -- A table that was dropped and made anew is another table under the name of the one that was copied.
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

/** The same without their shapes, which are most of what there is to read. */
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

/** Name and destination of some tables of the plan: for a run of the copy, which needs neither the others nor their shapes. */
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
 * Numbers of the tables that have rows still to be copied under the generation: never taken, taken under another one with chunks
 * left, or rewritten under another one. A root that is marked counts too: it has to be emptied, also when no partition is left.
 * @param pass null: anything left at all.
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

/** Text of shapes in one statement: encoding those of wide tables all at once keeps the thread from beating. */
const DEFINITION_CHARACTERS = 1_000_000;

/** Writes down what the stream has followed; several statements. */
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

/** Writes down the files that tables have on the target now; the rest of their shapes stays. */
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

/** Marks tables to be taken by the next round of the copy. */
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
 * Notes that a snapshot did not show these tables: no table has their oid, so the next look that finds their names takes what it
 * finds for another table and copies it again. With their oid they would count as copied without a row.
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

/** Marks everything that goes through these roots, and the roots themselves: the next round empties them first. */
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
  /** As it was when this was decided: a name, place or file that it has for a time after that is seen by the next audit. */
  readonly definition: PlannedDefinition;
}

/** Partitions that were made after the copy of their tree: none of their rows is in it, all are in the stream. */
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

/** A table that has another name on both sides now. */
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

/** Takes tables out of the plan that are gone on both sides, with what is noted of their copy. */
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
