/** Queries for columns: type, what their values follow from, and what the server keeps about them. */
import { ON_RELATIONS } from './on-relation.ts';

/** Collations are compared by catalog/collation-difference.ts, which knows how versions spell the same one. */
const TYPES = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", 'column ' || a.attname as part, p.what, p.text, p.make, p.remove
  from t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
 cross join lateral (select pg_catalog.format_type(a.atttypid, a.atttypmod) as type) y
 cross join lateral (
   select '' as what, '' as text, pg_catalog.format('alter table %s add column %I %s', t.sql, a.attname, y.type) as make,
          pg_catalog.format('alter table %s drop column %I', t.sql, a.attname) as remove
   union all
   select 'type', y.type, pg_catalog.format('alter table %s alter column %I type %s', t.sql, a.attname, y.type), null) p
 where t.relkind in ('r', 'p')`;

const DEFAULTS = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", case a.attgenerated when '' then 'default of column ' else 'generated expression of column ' end || a.attname as part,
       e.text || case a.attgenerated when 'v' then ' virtual' else '' end as text, 'column ' || a.attname as under,
       case a.attgenerated when '' then pg_catalog.format('alter table %s alter column %I set default %s', t.sql, a.attname, e.text) end as make,
       case a.attgenerated when '' then pg_catalog.format('alter table %s alter column %I drop default', t.sql, a.attname) 
            when 's' then pg_catalog.format('alter table %s alter column %I drop expression', t.sql, a.attname) end as remove,
       'pg_catalog.pg_attrdef'::pg_catalog.regclass::oid::text as cls, d.oid::text as oid, t."table" || ' ' || a.attname as tag
  from t join pg_catalog.pg_attrdef d on d.adrelid = t.oid
  join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
 cross join lateral (select pg_catalog.pg_get_expr(d.adbin, d.adrelid) as text) e`;

const PROPERTIES = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", property.what || ' of column ' || a.attname as part, '' as what, property.text, 'column ' || a.attname as under, property.make, property.remove
  from t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
 cross join lateral (select pg_catalog.format('alter table %s alter column %I ', t.sql, a.attname) as alter) s
 cross join lateral (
   select 'NOT NULL' as what, '' as text, s.alter || 'set not null' as make, s.alter || 'drop not null' as remove
    where a.attnotnull and not exists (
      -- NOT VALID constraints are added at the end of the cutover.
      select from pg_catalog.pg_constraint k where k.conrelid = t.oid and k.contype = 'n' and not k.convalidated and a.attnum = any(k.conkey))
   union all
   select 'identity', '', s.alter || 'add generated ' || i.word || ' as identity', s.alter || 'drop identity'
     from (select case a.attidentity when 'a' then 'always' else 'by default' end as word) i where a.attidentity <> ''
   union all
   select 'storage', x.word, s.alter || 'set storage ' || x.word, null
     from (select case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end as word) x
   union all
   select 'compression', x.word, s.alter || 'set compression ' || x.word, s.alter || 'set compression default'
     from (select case to_jsonb(a) ->> 'attcompression' when 'p' then 'pglz' when 'l' then 'lz4' end as word) x where x.word is not null
   union all
   select 'statistics target', a.attstattarget::text, s.alter || 'set statistics ' || a.attstattarget, s.alter || 'set statistics -1'
    where a.attstattarget >= 0
   union all
   select 'option ' || pg_catalog.split_part(o, '=', 1), pg_catalog.split_part(o, '=', 2), s.alter || pg_catalog.format('set (%s)', o),
          s.alter || pg_catalog.format('reset (%s)', pg_catalog.split_part(o, '=', 1))
     -- The server's own (docs/explanation/facts.md): it differs on every server.
     from unnest(a.attoptions) o where o not like 'pg\\_attver=%'
 ) property
 where t.relkind in ('r', 'p')
union all
select t.schema, t."table", 'identity of column ' || a.attname, 'form', i.word, 'column ' || a.attname,
       pg_catalog.format('alter table %s alter column %I set generated %s', t.sql, a.attname, i.word), null
  from t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attidentity <> '' and not a.attisdropped
 cross join lateral (select case a.attidentity when 'a' then 'always' else 'by default' end as word) i`;

/** Above all the increment, on which an application's allocator of ids may depend. */
const SEQUENCES = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", 'sequence of column ' || a.attname as part, 
       pg_catalog.string_agg(pg_catalog.format('%s increment %s min %s max %s start %s cache %s cycle %s', q.seqtypid::pg_catalog.regtype, q.seqincrement, q.seqmin,
         q.seqmax, q.seqstart, q.seqcache, q.seqcycle), ', ' order by q.seqincrement, q.seqmax, q.seqstart, q.seqcache) as text,
       pg_catalog.string_agg(case when a.attidentity = '' then pg_catalog.format('alter sequence %s as %s increment %s minvalue %s maxvalue %s start %s cache %s %scycle',
           d.objid::pg_catalog.regclass, q.seqtypid::pg_catalog.regtype, q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache,
           case when q.seqcycle then '' else 'no ' end)
         else pg_catalog.format('alter table %s alter column %I set increment %s set minvalue %s set maxvalue %s set start %s set cache %s set %scycle',
           t.sql, a.attname, q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache, case when q.seqcycle then '' else 'no ' end) end, '; ') as make
  from t join pg_catalog.pg_depend d on d.refobjid = t.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i')
        and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  join pg_catalog.pg_sequence q on q.seqrelid = d.objid
  join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
 group by 1, 2, 3`;

export const COLUMN_FACTS: readonly string[] = [TYPES, DEFAULTS, PROPERTIES, SEQUENCES];
