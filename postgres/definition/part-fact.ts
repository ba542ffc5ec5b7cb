/** Queries for what belongs to a table or view: indexes, constraints, triggers, rules, policies and statistics objects. */
import { notOfFence } from '../catalog/own-object.ts';
import { ON_RELATIONS } from './on-relation.ts';

/** A failed `create index concurrently` leaves an index that pg_dump does not carry. An index of a constraint belongs to it. */
const INDEXES = /* sql */ `${ON_RELATIONS}, own as (
  select t.schema, t."table", t.sql, x.relname, x.relkind, pg_catalog.format('%I.%I', t.schema, x.relname) as name, i.*, 
         (select 'constraint ' || k.conname from pg_catalog.pg_constraint k
           where k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u', 'x') limit 1) as under
    from t join pg_catalog.pg_index i on i.indrelid = t.oid join pg_catalog.pg_class x on x.oid = i.indexrelid
)
select o.schema, o."table", 'index ' || o.relname as part, '' as what, pg_catalog.pg_get_indexdef(o.indexrelid) as text, o.under, o.relname as tag,
       case when o.under is null then pg_catalog.pg_get_indexdef(o.indexrelid) end as make,
       case when o.under is null then pg_catalog.format('drop index %s', o.name) end as remove,
       o.indisvalid or o.relkind = 'I' as moved, 'pg_catalog.pg_class'::pg_catalog.regclass::oid::text as cls, o.indexrelid::text as oid
  from own o
union all
select o.schema, o."table", 'index ' || o.relname, p.what, p.text, coalesce(p.place, o.under), o.relname, p.make, p.remove, o.indisvalid or o.relkind = 'I', null, null
  from own o cross join lateral (
   select 'state' as what, case when o.indisvalid and o.indisready then 'valid' when o.indisready then 'not valid' else 'not ready' end as text,
          case when o.relkind = 'I' then null else pg_catalog.format('reindex index concurrently %s', o.name) end as make, null as remove, null as place
   union all
   select 'CLUSTER ON', '', pg_catalog.format('alter table %s cluster on %I', o.sql, o.relname),
          pg_catalog.format('alter table %s set without cluster', o.sql), null where o.indisclustered
   union all
   select 'statistics target of column ' || a.attnum, a.attstattarget::text,
          pg_catalog.format('alter index %s alter column %s set statistics %s', o.name, a.attnum, a.attstattarget),
          pg_catalog.format('alter index %s alter column %s set statistics -1', o.name, a.attnum), null
     from pg_catalog.pg_attribute a where a.attrelid = o.indexrelid and a.attstattarget >= 0
   union all
   select 'attachment', i.inhparent::pg_catalog.regclass::text, pg_catalog.format('alter index %s attach partition %s', i.inhparent::pg_catalog.regclass, o.name), null,
          (select 'place under ' || above.inhparent::pg_catalog.regclass from pg_catalog.pg_inherits above where above.inhrelid = o.indrelid limit 1)
     from pg_catalog.pg_inherits i where i.inhrelid = o.indexrelid
 ) p`;

/** NOT NULL constraints, which have catalog rows from PostgreSQL 18 on, are compared as a property of the column. */
const CONSTRAINTS = /* sql */ `${ON_RELATIONS}, own as (
  select t.schema, t."table", t.sql, k.*, pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '') as text
    from t join pg_catalog.pg_constraint k on k.conrelid = t.oid
   where k.contype <> 'n' and k.contype <> 't'
     -- Partitions' parts of a foreign key have version-dependent names. Their parent is compared.
     and not (k.contype = 'f' and k.conparentid <> 0 and exists (
           select from pg_catalog.pg_constraint p join t above on above.oid = p.conrelid where p.oid = k.conparentid))
), parts (root, oid) as (
  select oid, oid from own where contype = 'f' or condeferrable
  union all select parts.root, k.oid from parts join pg_catalog.pg_constraint k on k.conparentid = parts.oid
), enforced as (
  select parts.root, pg_catalog.string_agg(distinct g.tgenabled::text, '' order by g.tgenabled::text) as state
    from parts join pg_catalog.pg_trigger g on g.tgconstraint = parts.oid and g.tgisinternal group by 1
)
select k.schema, k."table", 'constraint ' || k.conname as part, '' as what, k.text,
       pg_catalog.format('alter table %s add constraint %I %s%s', k.sql, k.conname, k.text, case when k.convalidated then '' else ' not valid' end) as make,
       pg_catalog.format('alter table %s drop constraint %I', k.sql, k.conname) as remove,
       'pg_catalog.pg_constraint'::pg_catalog.regclass::oid::text as cls, k.oid::text as oid
  from own k
union all
select k.schema, k."table", 'constraint ' || k.conname, 'state', case when k.convalidated then 'valid' else 'not valid' end,
       case when k.convalidated then pg_catalog.format('alter table %s validate constraint %I', k.sql, k.conname) end, null, null, null
  from own k where k.contype in ('c', 'f')
union all
select k.schema, k."table", 'constraint ' || k.conname, 'enforcement', e.state, null, null, null, null
  from own k join enforced e on e.root = k.oid`;

/** What a state is called, and the word that sets it. */
const stateOf = (column: string): string => /* sql */ `
  case ${column} when 'O' then 'enabled' when 'A' then 'enabled always' when 'R' then 'enabled for replicas' else 'disabled' end`;
const setOf = (column: string): string => /* sql */ `
  case ${column} when 'O' then 'enable' when 'A' then 'enable always' when 'R' then 'enable replica' else 'disable' end`;

const TRIGGERS = /* sql */ `${ON_RELATIONS}, own as (
  select t.schema, t."table", t.sql, 'trigger' as kind, g.tgname as name, pg_catalog.pg_get_triggerdef(g.oid) as text, g.tgenabled as state,
         g.tgparentid <> 0 as cloned, 'pg_catalog.pg_trigger'::pg_catalog.regclass::oid as cls, g.oid
    from t join pg_catalog.pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal and ${notOfFence('g')}
  union all
  select t.schema, t."table", t.sql, 'rule', r.rulename, pg_catalog.pg_get_ruledef(r.oid), r.ev_enabled, false,
         'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid
    from t join pg_catalog.pg_rewrite r on r.ev_class = t.oid and r.rulename <> '_RETURN'
)
select o.schema, o."table", o.kind || ' ' || o.name as part, '' as what, o.text,
       -- A partition gets it from the table above.
       case when o.cloned then null else o.text end as make,
       case when o.cloned then null else pg_catalog.format('drop %s %I on %s', o.kind, o.name, o.sql) end as remove, not o.cloned as moved, o.cls::text, o.oid::text
  from own o
union all
select o.schema, o."table", o.kind || ' ' || o.name, 'state', ${stateOf('o.state')},
       pg_catalog.format('alter table %s %s %s %I', o.sql, ${setOf('o.state')}, o.kind, o.name), null, true, null, null
  from own o`;

const POLICIES = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", 'policy ' || p.polname as part, s.text, pg_catalog.format('create policy %I on %s %s', p.polname, t.sql, s.text) as make,
       pg_catalog.format('drop policy %I on %s', p.polname, t.sql) as remove,
       'pg_catalog.pg_policy'::pg_catalog.regclass::oid::text as cls, p.oid::text as oid
  from t join pg_catalog.pg_policy p on p.polrelid = t.oid
 cross join lateral (select pg_catalog.concat_ws(' ', case when p.polpermissive then 'as permissive' else 'as restrictive' end,
    'for ' || case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    'to ' || (select pg_catalog.string_agg(case when r = 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r)) end, ', '
                order by case when r = 0 then 'public' else pg_catalog.pg_get_userbyid(r)::text end) from unnest(p.polroles) r),
    'using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
    'with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')') as text) s`;

const STATISTICS = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", 'statistics ' || s.stxname as part, '' as what, pg_catalog.pg_get_statisticsobjdef(s.oid) as text, s.stxname as tag,
       pg_catalog.pg_get_statisticsobjdef(s.oid) as make, pg_catalog.format('drop statistics %s.%I', s.stxnamespace::pg_catalog.regnamespace, s.stxname) as remove,
       'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::oid::text as cls, s.oid::text as oid
  from t join pg_catalog.pg_statistic_ext s on s.stxrelid = t.oid
union all
select t.schema, t."table", 'statistics ' || s.stxname, 'statistics target', s.stxstattarget::text, s.stxname,
       pg_catalog.format('alter statistics %s.%I set statistics %s', s.stxnamespace::pg_catalog.regnamespace, s.stxname, s.stxstattarget), null, null, null
  from t join pg_catalog.pg_statistic_ext s on s.stxrelid = t.oid where s.stxstattarget >= 0`;

export const PART_FACTS: readonly string[] = [INDEXES, CONSTRAINTS, TRIGGERS, POLICIES, STATISTICS];
