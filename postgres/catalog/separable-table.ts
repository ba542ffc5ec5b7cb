/**
 * Which tables of the source can be dumped separately. pg_dump locks all tables of a dump at once, and the lock table of a server
 * with default settings holds about ten thousand. A leaf is a table on which only its own parts (keys, defaults, triggers,
 * sequences) and foreign keys, which come last anyway, depend: dumped after the rest, in groups, it produces the same
 * statements. Views, partitions, inheritance children and their dependencies are dumped together, so that pg_dump orders them.
 */
import type pg from 'pg';
import type { TableName } from './selection.ts';

export interface Leaves {
  readonly leaves: readonly TableName[];
  /** Sequences that belong to the leaves, and are dumped with them. */
  readonly owned: readonly TableName[];
  readonly others: readonly TableName[];
  /** How many of `others` pg_dump locks. */
  readonly locked: number;
}

const LEAVES = /* sql */ `
with relation as (
  select c.oid, n.nspname as schema, c.relname as name, c.relkind, c.reltype, c.relispartition, c.relhassubclass,
         c.relhasrules, c.reloftype,
         exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') as member
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
     and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
), plain as (
  select * from relation
   where relkind = 'r' and not member and not relispartition and not relhassubclass and not relhasrules and reloftype = 0
     and oid not in (select inhrelid from pg_catalog.pg_inherits)
), owned as (
  select d.objid as oid, d.refobjid as owner
    from pg_catalog.pg_depend d join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
   where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
     and d.refobjsubid > 0 and d.deptype in ('a', 'i')
), rowtype as (
  select oid as owner, reltype as typ from plain
  union all
  select p.oid, t.oid from plain p join pg_catalog.pg_type t on t.typelem = p.reltype and t.typcategory = 'A'
), needed as (
  -- By objects that are not part of it. Extended statistics are, but before version 17 pg_dump writes them with their schema.
  select d.refobjid as oid
    from pg_catalog.pg_depend d
    left join pg_catalog.pg_index i on d.classid = 'pg_catalog.pg_class'::regclass and i.indexrelid = d.objid
    left join pg_catalog.pg_class c on d.classid = 'pg_catalog.pg_class'::regclass and c.oid = d.objid
    left join pg_catalog.pg_attrdef a on d.classid = 'pg_catalog.pg_attrdef'::regclass and a.oid = d.objid
    left join pg_catalog.pg_constraint k on d.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = d.objid
    left join pg_catalog.pg_trigger g on d.classid = 'pg_catalog.pg_trigger'::regclass and g.oid = d.objid
    left join pg_catalog.pg_policy y on d.classid = 'pg_catalog.pg_policy'::regclass and y.oid = d.objid
    left join pg_catalog.pg_type t on d.classid = 'pg_catalog.pg_type'::regclass and t.oid = d.objid
   where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid in (select oid from plain)
     and not coalesce(
       i.indrelid = d.refobjid or c.relkind in ('S', 't') or a.adrelid = d.refobjid
       or k.conrelid = d.refobjid or k.contype = 'f' or g.tgrelid = d.refobjid or g.tgisinternal
       or y.polrelid = d.refobjid or t.typrelid = d.refobjid
       or d.classid = 'pg_catalog.pg_publication_rel'::regclass
       -- A generated column depends on other columns of its table.
       or d.classid = 'pg_catalog.pg_class'::regclass and d.objid = d.refobjid, false)
  union
  select r.owner
    from rowtype r join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid = r.typ
   where not (d.classid = 'pg_catalog.pg_type'::regclass and d.objid in (select typ from rowtype))
  union
  select o.owner
    from owned o
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = o.oid
    left join pg_catalog.pg_attrdef a on d.classid = 'pg_catalog.pg_attrdef'::regclass and a.oid = d.objid
   where a.adrelid is distinct from o.owner and d.classid <> 'pg_catalog.pg_type'::regclass
), leaf as (
  select oid from plain except select oid from needed
)
select r.schema, r.name,
       case when r.oid in (select oid from leaf) then 'leaf'
            when r.oid in (select o.oid from owned o where o.owner in (select oid from leaf)) then 'owned'
            when r.relkind in ('r', 'p') and not r.member then 'locked' else 'other' end as part
  from relation r order by r.schema collate "C", r.name collate "C"`;

/** Classifies the relations of the database, within the caller's transaction. */
export async function readLeaves(source: pg.ClientBase): Promise<Leaves> {
  const rows = await joined<TableName & { part: string }>(source, LEAVES);
  const of = (...parts: string[]): TableName[] =>
    rows.filter(({ part }) => parts.includes(part)).map(({ schema, name }) => ({ schema, name }));
  return {
    leaves: of('leaf'),
    owned: of('owned'),
    others: of('locked', 'other'),
    locked: of('locked').length,
  };
}

/** Number of tables that a pg_dump of the whole database would lock. */
export async function countLocked(source: pg.ClientBase): Promise<number> {
  const { rows } = await source.query<{ count: number }>(/* sql */ `
    select count(*)::int as count
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and c.relpersistence <> 't'
       and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`);
  return rows[0]?.count ?? 0;
}

/** A dependency between objects of the archive: each is catalog and oid, separated by a space. */
export interface Tie {
  readonly from: string;
  /** The table whose entry contains the object, when the object has no entry. */
  readonly table: string;
  readonly to: string;
}

/**
 * What parts of leaves depend on outside their table, which a dump of the leaf alone does not show. Extension members are
 * replaced by their extension, arrays by their element type.
 */
const TIES = /* sql */ `
with leaf as (
  select c.oid from unnest($1::text[], $2::text[]) as l (schema, name)
    join pg_catalog.pg_namespace n on n.nspname = l.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = l.name
), part (class, oid, owner) as (
  select 'pg_catalog.pg_class'::regclass::oid, oid, oid from leaf
  union all select 'pg_catalog.pg_class'::regclass, i.indexrelid, i.indrelid from pg_catalog.pg_index i join leaf l on l.oid = i.indrelid
  union all select 'pg_catalog.pg_attrdef'::regclass, a.oid, a.adrelid from pg_catalog.pg_attrdef a join leaf l on l.oid = a.adrelid
  union all select 'pg_catalog.pg_constraint'::regclass, k.oid, k.conrelid from pg_catalog.pg_constraint k join leaf l on l.oid = k.conrelid
  union all select 'pg_catalog.pg_trigger'::regclass, g.oid, g.tgrelid from pg_catalog.pg_trigger g join leaf l on l.oid = g.tgrelid where not g.tgisinternal
  union all select 'pg_catalog.pg_policy'::regclass, y.oid, y.polrelid from pg_catalog.pg_policy y join leaf l on l.oid = y.polrelid
), tie as (
  select p.class, p.oid, p.owner, d.refclassid, d.refobjid
    from part p join pg_catalog.pg_depend d on d.classid = p.class and d.objid = p.oid
   where d.refobjid >= 16384 and d.refobjid <> p.owner and d.deptype in ('n', 'a')
     and d.refclassid <> 'pg_catalog.pg_namespace'::regclass
     and (d.refclassid, d.refobjid) not in (select q.class, q.oid from part q where q.class <> 'pg_catalog.pg_class'::regclass)
  union
  select 'pg_catalog.pg_constraint'::regclass, k.oid, k.conrelid, 'pg_catalog.pg_class'::regclass, k.confrelid
    from pg_catalog.pg_constraint k where k.contype = 'f' and k.conrelid <> k.confrelid
)
select format('%s %s', t.class::oid, t.oid) as "from", format('%s %s', 'pg_catalog.pg_class'::regclass::oid, t.owner) as "table",
       coalesce(
         (select format('%s %s', e.refclassid, e.refobjid) from pg_catalog.pg_depend e
           where e.classid = t.refclassid and e.objid = t.refobjid and e.deptype = 'e' limit 1),
         (select format('%s %s', 'pg_catalog.pg_type'::regclass::oid, a.typelem) from pg_catalog.pg_type a
           where t.refclassid = 'pg_catalog.pg_type'::regclass and a.oid = t.refobjid and a.typcategory = 'A' and a.typelem <> 0),
         format('%s %s', t.refclassid, t.refobjid)) as "to"
  from tie t`;

/** Dependencies that dumps of single tables do not contain, including foreign keys of all tables. */
export async function readTies(
  source: pg.ClientBase,
  leaves: readonly TableName[],
): Promise<readonly Tie[]> {
  return joined<Tie>(source, TIES, [
    leaves.map(({ schema }) => schema),
    leaves.map(({ name }) => name),
  ]);
}

/**
 * Queries without nested loops. Catalogs that have just grown are not analyzed yet: a plan made for a few rows compared every
 * row with every other, which took minutes for 100,000 tables.
 */
async function joined<Row extends pg.QueryResultRow>(
  source: pg.ClientBase,
  sql: string,
  values: readonly (readonly string[])[] = [],
): Promise<Row[]> {
  await source.query(/* sql */ `set local enable_nestloop = off`);
  try {
    return (await source.query<Row>(sql, [...values])).rows;
  } finally {
    // After an error the transaction is aborted, and the setting with it.
    await source.query(/* sql */ `set local enable_nestloop = on`).catch(() => undefined);
  }
}
