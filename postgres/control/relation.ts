/**
 * The plan's tables in the control schema: which tables the migration moves, and the generation that each one's rows are of.
 * The copy takes its work from here, and the stream its filter.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Relation } from '../catalog/relation.ts';

export interface PlannedRelationRow {
  /** Number within the migration. */
  readonly id: number;
  /** Oid on the source when it was last looked at. */
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Partitioned tables hold no rows: they are here because a TRUNCATE names them. */
  readonly kind: 'r' | 'p';
  /** The generation of all its chunks; null: not taken yet. */
  readonly generation: number | null;
  /** A rewrite or TRUNCATE met its copy: the next round takes it again. */
  readonly rewritten: boolean;
  readonly pages: number;
  readonly estimatedRows: number;
  readonly estimatedBytes: number;
}

type Registered = Pick<
  Relation,
  'oid' | 'schema' | 'name' | 'kind' | 'pages' | 'estimatedRows' | 'bytes'
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
      (migration, id, source_oid, schema_name, table_name, kind, pages, estimated_rows, estimated_bytes)
    select $1, last.id + row_number() over (order by new.at), new.oid, new.schema, new.name, new.kind,
           new.pages, new.rows, new.bytes
      from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])
             with ordinality as new (oid, schema, name, kind, pages, rows, bytes, at),
           (select coalesce(max(id), 0) as id from walferry.relation where migration = $1) last
    on conflict (migration, schema_name, table_name) do update
       -- A table that was dropped and made anew is another table under the name of the one that was copied.
       set rewritten = r.rewritten or (r.source_oid <> excluded.source_oid and r.generation is not null),
           source_oid = excluded.source_oid, kind = excluded.kind, pages = excluded.pages,
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
    ],
  );
}

interface Row {
  id: number;
  oid: string;
  schema: string;
  name: string;
  kind: 'r' | 'p';
  generation: number | null;
  rewritten: boolean;
  pages: string;
  rows: string;
  bytes: string;
}

/** All tables of the plan, in the order of their numbers. */
export async function readPlannedRelations(
  target: pg.ClientBase,
  migration: Migration,
): Promise<PlannedRelationRow[]> {
  const { rows } = await target.query<Row>(
    /* sql */ `
    select id, source_oid::text as oid, schema_name as schema, table_name as name, kind, generation,
           rewritten, pages::text, estimated_rows::text as rows, estimated_bytes::text as bytes
      from walferry.relation where migration = $1 order by id`,
    [migration.id],
  );
  return rows.map((row) => ({
    id: row.id,
    oid: Number(row.oid),
    schema: row.schema,
    name: row.name,
    kind: row.kind,
    generation: row.generation,
    rewritten: row.rewritten,
    pages: Number(row.pages),
    estimatedRows: Number(row.rows),
    estimatedBytes: Number(row.bytes),
  }));
}

/**
 * Numbers of the tables that have rows still to be copied under the generation: never taken, taken under another one with chunks
 * left, or rewritten under another one.
 * @param generation null: anything left at all.
 */
export async function readUnfinished(
  target: pg.ClientBase,
  migration: Migration,
  generation: number | null,
): Promise<number[]> {
  const { rows } = await target.query<{ id: number }>(
    /* sql */ `
    select r.id from walferry.relation r
     where r.migration = $1 and r.kind = 'r'
       and (r.generation is null
            or (r.rewritten and r.generation is distinct from $2::integer)
            or r.id in (select unnest(c.relations) from walferry.chunk c
                         where c.migration = $1 and c.done_at is null
                           and c.generation is distinct from $2::integer))
     order by r.id`,
    [migration.id, generation],
  );
  return rows.map(({ id }) => id);
}
