/**
 * Reads tables from a database's catalog. Source and target are read with the same queries, so that they can be compared.
 *
 * Everything is read under an empty search_path: `format_type` omits the schema of a type that is on the path, and that name
 * could mean another type (or none) in another session.
 */
import type pg from 'pg';
import { COLLATION, JOIN_COLLATION } from './collation.ts';
import { assignRoots, markSplit } from './row-destination.ts';
import { compileSelection, isSelected, type Selection, type TableName } from './selection.ts';
import { SYSTEM_SCHEMAS } from './own-object.ts';
import { readTypeGraph } from './type-graph.ts';
import type { Relation, Sizes } from './relation.ts';

export interface Candidate extends TableName {
  readonly oid: number;
  readonly kind: Relation['kind'];
  /** Oids of its parents by partitioning or inheritance, in the order of their declaration. */
  readonly parents: readonly number[];
}

/** All tables but those that preflight, copy and stream never touch: the system's, walferry's and members of extensions. */
const CANDIDATES = /* sql */ `
select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, c.relkind as kind,
       array(select i.inhparent::int8::float8 from pg_catalog.pg_inherits i
              where i.inhrelid = c.oid order by i.inhseqno) as parents
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't'
   and n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
                      and d.objsubid = 0 and d.deptype = 'e')`;

/** The key's index: that of the replica identity; with FULL the primary key, or else the usable index with the fewest columns. */
const DETAILS = /* sql */ `
with recursive domain (typ, base) as (
  select t.oid, t.typbasetype from pg_catalog.pg_type t where t.typtype = 'd'
  union all
  select d.typ, t.typbasetype from domain d join pg_catalog.pg_type t on t.oid = d.base and t.typtype = 'd'
), indexed as (
  select i.indrelid, i.indexrelid, i.indisprimary, i.indisreplident, i.indnkeyatts,
         array_agg(a.attname::text order by k.at) as key
    from pg_catalog.pg_index i
   cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, at)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
   where i.indrelid = any($1::oid[]) and i.indisunique and i.indisvalid and i.indimmediate
     and i.indpred is null and i.indexprs is null and k.at <= i.indnkeyatts
     -- From 18 on a column with a NOT NULL constraint that is not validated counts as NOT NULL but may contain nulls.
     and not exists (select from pg_catalog.pg_constraint n
                      where n.conrelid = i.indrelid and n.contype = 'n' and not n.convalidated and a.attnum = any(n.conkey))
   group by i.indrelid, i.indexrelid, i.indisprimary, i.indisreplident, i.indnkeyatts
  having bool_and(a.attnotnull)
), keys as (
  select distinct on (x.indrelid) x.indrelid, x.key, x.indexrelid::int8::float8 as index
    from indexed x join pg_catalog.pg_class c on c.oid = x.indrelid
   where case c.relreplident when 'd' then x.indisprimary when 'i' then x.indisreplident
                             when 'f' then true else false end
   order by x.indrelid, x.indisprimary desc, x.indnkeyatts, x.indexrelid
), attributes as (
  -- Grouped once for all tables: a lookup per table takes minutes with thousands of tables.
  select a.attrelid, sum(case when t.typlen > 0 then t.typlen else 32 end) as row,
         json_agg(json_build_object(
           'name', a.attname, 'attnum', a.attnum, 'typeOid', a.atttypid::int8,
           'baseTypeOid', coalesce(d.base, a.atttypid)::int8,
           'typeName', pg_catalog.format_type(a.atttypid, a.atttypmod),
           'baseTypeName', pg_catalog.format_type(coalesce(d.base, a.atttypid), null),
           'notNull', a.attnotnull, 'hasDefault', a.atthasdef, 'generated', a.attgenerated <> '',
           'identity', a.attidentity, 'collation', ${COLLATION}) order by a.attnum) as columns
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid ${JOIN_COLLATION}
    left join (select typ, base from domain
                where base not in (select oid from pg_catalog.pg_type where typtype = 'd')) d on d.typ = a.atttypid
   where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped
   group by a.attrelid
)
select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, c.relkind as kind,
       c.relpersistence as persistence, c.relreplident as identity, 
       coalesce(am.amname = 'heap', false) and pg_catalog.current_setting('server_version_num')::int4 >= 140000 as splittable,
       c.relispartition as "isPartition",
       coalesce(case when c.relkind = 'r' then case when $2 then
         pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8 else c.relpages end end, 0)::float8 as pages,
       coalesce(case when c.relkind = 'r' then case when $2 then pg_catalog.pg_table_size(c.oid)
         else (c.relpages + coalesce(t.relpages, 0)) * pg_catalog.current_setting('block_size')::int8 end end, 0)::float8 as bytes,
       c.relpages::float8 as relpages, c.reltuples::float8 as reltuples, coalesce(widths.row, 0)::float8 as width,
       (select i.inhparent::int8::float8 from pg_catalog.pg_inherits i
         where i.inhrelid = c.oid order by i.inhseqno limit 1) as "parentOid",
       coalesce(widths.columns, '[]') as columns, keys.key, keys.index as "keyIndex"
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_am am on am.oid = c.relam
  left join attributes widths on widths.attrelid = c.oid
  left join keys on keys.indrelid = c.oid
  left join pg_catalog.pg_class t on t.oid = c.reltoastrelid
 where c.oid = any($1::oid[])
 order by n.nspname, c.relname`;

interface DetailRow extends Omit<Relation, 'estimatedRows' | 'types' | 'viaRoot'> {
  keyIndex: number | null;
  relpages: number;
  reltuples: number;
  width: number;
}

/**
 * The selected tables, ordered by schema and name: ordinary and partitioned tables, every leaf partition, inherited tables, and
 * unlogged and foreign ones (which preflight may refuse). Inside a transaction it returns what the snapshot sees.
 */
export async function readRelations(
  client: pg.ClientBase,
  selection: Selection,
  sizes: Sizes = 'measured',
): Promise<Relation[]> {
  return withEmptySearchPath(client, async () => {
    const { rows } = await client.query<Candidate>(CANDIDATES);
    const found = await details(client, selectOids(rows, selection), sizes);
    const relations = await assignRoots(client, found, selection.viaPartitionRoot ?? []);
    return markSplit(relations, selection.mayBeSplit ?? []);
  });
}

/** All tables that a selection may name, and the oids of those that this one does: without details, for steps in a hurry. */
export async function readCandidates(
  client: pg.ClientBase,
  selection: Selection,
): Promise<{ readonly all: readonly Candidate[]; readonly selected: ReadonlySet<number> }> {
  const { rows } = await client.query<Candidate>(CANDIDATES);
  return { all: rows, selected: new Set(selectOids(rows, selection)) };
}

/** Whether {@link readRelations} would return the table; reads no details of other tables. */
export async function isTableSelected(
  client: pg.ClientBase,
  selection: Selection,
  { schema, name }: TableName,
): Promise<boolean> {
  const { rows } = await client.query<Candidate>(
    /* sql */ `
    ${CANDIDATES} and c.oid in (
      with recursive line (oid) as (
        select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = $1 and c.relname = $2
        union
        select i.inhparent from line join pg_catalog.pg_inherits i on i.inhrelid = line.oid)
      select oid from line)`,
    [schema, name],
  );
  const selected = new Set(selectOids(rows, selection));
  return rows.some((row) => row.schema === schema && row.name === name && selected.has(row.oid));
}

/** The existing tables among these names, with estimated sizes; for comparing the other side with a selection. */
export async function readRelationsNamed(
  client: pg.ClientBase,
  names: readonly TableName[],
): Promise<Relation[]> {
  return withEmptySearchPath(client, async () => {
    const { rows } = await client.query<{ oid: number }>(
      /* sql */ `
      select c.oid::int8::float8 as oid
        from unnest($1::text[], $2::text[]) as wanted (schema, name)
        join pg_catalog.pg_namespace n on n.nspname = wanted.schema
        join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
       where c.relkind in ('r', 'p', 'f')`,
      [names.map(({ schema }) => schema), names.map(({ name }) => name)],
    );
    const found = await details(
      client,
      rows.map(({ oid }) => oid),
      'estimated',
    );
    return found.map(({ keyIndex: _, ...relation }) => ({ ...relation, viaRoot: null }));
  });
}

async function details(
  client: pg.ClientBase,
  oids: readonly number[],
  sizes: Sizes,
): Promise<(Omit<Relation, 'viaRoot'> & { readonly keyIndex: number | null })[]> {
  const { rows } = await client.query<DetailRow>(DETAILS, [oids, sizes === 'measured']);
  const types = await readTypeGraph(client, rows);
  return rows.map(({ relpages, reltuples, width, ...relation }) => ({
    ...relation,
    types,
    estimatedRows: estimateRows(relation.pages, { relpages, reltuples, width }),
  }));
}

function selectOids(rows: readonly Candidate[], selection: Selection): number[] {
  const matcher = compileSelection(selection);
  const byOid = new Map(rows.map((row) => [row.oid, row]));
  const ancestors = (row: Candidate): Candidate[] =>
    row.parents.flatMap((oid) => {
      const parent = byOid.get(oid);
      return parent ? [parent, ...ancestors(parent)] : [];
    });
  return rows.filter((row) => isSelected(matcher, row, ancestors(row))).map(({ oid }) => oid);
}

const PAGE_BYTES = 8192;
/** Tuple header, line pointer and padding. */
const TUPLE_OVERHEAD_BYTES = 32;

/** As the planner does it: row density of the last ANALYZE times current pages, else a guess from column widths. */
function estimateRows(
  pages: number,
  known: { relpages: number; reltuples: number; width: number },
): number {
  const density =
    known.reltuples >= 0 && known.relpages > 0
      ? known.reltuples / known.relpages
      : PAGE_BYTES / (known.width + TUPLE_OVERHEAD_BYTES);
  return Math.round(density * pages);
}

/** Works inside and outside a transaction, and restores the session's search_path. */
async function withEmptySearchPath<T>(client: pg.ClientBase, read: () => Promise<T>): Promise<T> {
  const { rows } = await client.query<{ path: string }>(
    /* sql */ `select pg_catalog.current_setting('search_path') as path`,
  );
  const set = /* sql */ `select pg_catalog.set_config('search_path', $1, false)`;
  await client.query(set, ['']);
  try {
    return await read();
  } finally {
    // After an error inside a transaction this fails, and the rollback restores the path.
    await client.query(set, [rows[0]?.path ?? '']).catch(() => undefined);
  }
}
