/**
 * Changes of the plan's tables: which there are, and the state of each (table-state.ts). Call them in the transaction that makes
 * the change true, under the epoch or the chunk's lock that keeps superseded attempts out.
 */
import type pg from 'pg';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Relation } from '../catalog/relation.ts';
import type { TableName } from '../catalog/selection.ts';
import type { PlannedDefinition } from './planned-definition.ts';
import { after, may, requireMoved } from './table-state.ts';

type Registered = Pick<
  Relation,
  'oid' | 'schema' | 'name' | 'kind' | 'pages' | 'estimatedRows' | 'bytes' | 'viaRoot'
>;

/** Whether the name belongs to another table than before. A table that was never copied has nothing to lose. */
const RECREATED = /* sql */ `
  (r.kind = 'r' and excluded.kind = 'r' and r.source_oid <> excluded.source_oid and ${may('recreated')})`;

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
      (migration, id, source_oid, schema_name, table_name, kind, state, pages, estimated_rows, estimated_bytes,
       root_schema, root_name)
    select $1, last.id + row_number() over (order by new.at), new.oid, new.schema, new.name, new.kind,
           case new.kind when 'p' then ${after('partitioned')} else ${after('returned')} end,
           new.pages, new.rows, new.bytes, new.root_schema, new.root_name
      from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
                  $9::text[], $10::text[])
             with ordinality as new (oid, schema, name, kind, pages, rows, bytes, root_schema, root_name, at),
           (select coalesce(max(id), 0) as id from walferry.relation where migration = $1) last
    on conflict (migration, schema_name, table_name) do update
       set state = case
             when excluded.kind = 'p' and (r.kind = 'r' or r.state = 'dropped') then ${after('partitioned')}
             when r.kind = 'p' and excluded.kind = 'r' and ${may('unpartitioned')} then ${after('unpartitioned')}
             when ${may('returned')} then ${after('returned')}
             when ${RECREATED} then ${after('recreated')}
             else r.state end,
           reason = case
             when excluded.kind = 'p' and r.kind = 'r' then null
             when ${RECREATED} then coalesce(r.reason, case r.state when 'absent' then 'was not in the latest snapshot'
                                                                    else 'was recreated on the source' end)
             else r.reason end,
           pass = case when excluded.kind = 'r' then r.pass end,
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

/** A pass takes tables. @param chunks number of chunks by table. */
export async function takeRelations(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  chunks: ReadonlyMap<number, number>,
): Promise<void> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.relation r
       set state = ${after('taken')}, reason = null, pass = $2, chunks_left = given.chunks
      from unnest($3::integer[], $4::integer[]) as given (id, chunks)
     where r.migration = $1 and r.id = given.id and r.kind = 'r' and ${may('taken')}`,
    [migration.id, pass, [...chunks.keys()], [...chunks.values()]],
  );
  requireMoved('taken', rowCount, chunks.size);
}

/**
 * Records that the snapshot of a pass does not contain these tables. No table has oid 0, so a check that finds their names later
 * treats them as new tables and resyncs them. With their oid they would count as copied without a row.
 */
export async function markAbsent(
  target: pg.ClientBase,
  migration: Migration,
  pass: number,
  ids: readonly number[],
): Promise<void> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.relation r
       set state = ${after('missed')}, reason = null, pass = $3, chunks_left = 0, source_oid = 0
     where r.migration = $1 and r.id = any($2) and r.kind = 'r' and ${may('missed')}`,
    [migration.id, ids, pass],
  );
  requireMoved('missed', rowCount, ids.length);
}

/** Records that the target's tables of these roots are empty. */
export async function markEmptied(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<void> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.relation r set state = ${after('emptied')}, reason = null
     where r.migration = $1 and r.id = any($2) and r.kind = 'p' and ${may('emptied')}`,
    [migration.id, ids],
  );
  requireMoved('emptied', rowCount, ids.length);
}

/** Marks tables for a resync in the next pass. A table keeps its first reason. @param reasons by table, without row values. */
export async function markForResync(
  target: pg.ClientBase,
  migration: Migration,
  reasons: ReadonlyMap<number, string>,
): Promise<void> {
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.relation r
       set state = ${after('spoiled')}, reason = coalesce(r.reason, given.reason)
      from unnest($2::integer[], $3::text[]) as given (id, reason)
     where r.migration = $1 and r.id = given.id and ${may('spoiled')}`,
    [migration.id, [...reasons.keys()], [...reasons.values()]],
  );
  requireMoved('spoiled', rowCount, reasons.size);
}

/** A tree that goes through its root, and why it needs a resync. */
export interface SpoiledTree extends TableName {
  readonly reason: string;
}

/** Marks all tables that go through these roots, and the roots, which the next pass empties first. */
export async function markTreesForResync(
  target: pg.ClientBase,
  migration: Migration,
  roots: readonly SpoiledTree[],
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.relation r
       set state = ${after('spoiled')}, reason = coalesce(r.reason, root.reason)
      from unnest($2::text[], $3::text[], $4::text[]) as root (schema, name, reason)
     where r.migration = $1 and r.root_schema = root.schema and r.root_name = root.name
       and (r.kind = 'r' or (r.schema_name, r.table_name) = (root.schema, root.name)) and ${may('spoiled')}`,
    [
      migration.id,
      roots.map(({ schema }) => schema),
      roots.map(({ name }) => name),
      roots.map(({ reason }) => reason),
    ],
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
    update walferry.relation r
       set state = ${after('joined')}, pass = $4, definition = joined.definition::jsonb
      from unnest($2::text[], $3::text[], $5::text[]) as joined (schema, name, definition)
     where r.migration = $1 and r.kind = 'r' and ${may('joined')}
       and r.schema_name = joined.schema and r.table_name = joined.name`,
    [
      migration.id,
      tables.map(({ schema }) => schema),
      tables.map(({ name }) => name),
      pass,
      tables.map(({ definition }) => JSON.stringify(definition)),
    ],
  );
  await confirmTables(target, migration, null);
}

/**
 * Tables are ready once the stream has confirmed the LSN of their pass's snapshot.
 * @param lsn confirmed with this transaction; null: the stored one.
 */
export async function confirmTables(
  target: pg.ClientBase,
  migration: Migration,
  lsn: Lsn | null,
): Promise<void> {
  await target.query(
    /* sql */ `
    update walferry.relation r set state = ${after('confirmed')}
      from walferry.exported_snapshot s, walferry.migration m
     where r.migration = $1 and s.migration = $1 and m.id = $1 and ${may('confirmed')}
       and s.number = r.pass and s.lsn <= coalesce($2::pg_lsn, m.confirmed_lsn)`,
    [migration.id, lsn],
  );
}

/** For a table that was renamed on both sides: what it was sent under its old name is not known. */
export async function renameRelation(
  target: pg.ClientBase,
  migration: Migration,
  id: number,
  to: TableName,
): Promise<void> {
  const values = [migration.id, to.schema, to.name];
  // Another table had the name once; two rows cannot have it.
  await target.query(
    /* sql */ `
    delete from walferry.relation
     where migration = $1 and schema_name = $2 and table_name = $3 and state = 'dropped'`,
    values,
  );
  const { rowCount } = await target.query(
    /* sql */ `
    update walferry.relation r
       set schema_name = $2, table_name = $3,
           state = case kind when 'p' then r.state else ${after('spoiled')} end,
           reason = case kind when 'p' then r.reason
                              else coalesce(r.reason, 'was named ' || schema_name || '.' || table_name) end
     where r.migration = $1 and r.id = $4 and ${may('spoiled')}`,
    [...values, id],
  );
  requireMoved('spoiled', rowCount, 1);
}

/** Removes tables that are gone on both sides from the plan, and what is recorded of their copy. */
export async function dropRelations(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<void> {
  const { rowCount } = await target.query(
    /* sql */ `
    with bundles as (
      update walferry.chunk set relations = array(select r from unnest(relations) r where r <> all($2::integer[]))
       where migration = $1 and relations && $2::integer[])
    update walferry.relation r
       set state = ${after('gone')}, reason = null, pass = null, chunks_left = 0, definition = null,
           source_oid = 0
     where r.migration = $1 and r.id = any($2) and ${may('gone')}`,
    [migration.id, ids],
  );
  requireMoved('gone', rowCount, ids.length);
}
