/** Queries for types: enums, composites, domains with their constraints, ranges, base types. */
import { owned } from './compared-object.ts';

/** Without row types of relations, array types and multiranges, which come with another object. */
const OWN_TYPES = /* sql */ `
  pg_catalog.pg_type t where not (t.typtype = 'b' and t.typelem <> 0 and t.typname like '\\_%' and exists (
      select from pg_catalog.pg_type e where e.oid = t.typelem and e.typarray = t.oid)) and t.typtype <> 'm'
    and not exists (select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind <> 'c')`;

const LABELS = /* sql */ `(select pg_catalog.jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = t.oid)`;
const QUOTED = /* sql */ `(select pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = t.oid)`;
const COLLATED = /* sql */ `case when a.attcollation <> 0 and a.attcollation <> 100 then ' collate ' || a.attcollation::pg_catalog.regcollation else '' end`;
const ATTRIBUTES = /* sql */ `
  (select pg_catalog.string_agg(pg_catalog.format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), ${COLLATED}), ', ' order by a.attnum)
     from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)`;
const RANGE = /* sql */ `
  (select pg_catalog.concat_ws(', ', 'subtype = ' || r.rngsubtype::pg_catalog.regtype, 'subtype_opclass = ' || o.opcname,
            'collation = ' || nullif(r.rngcollation, 0)::pg_catalog.regcollation,
            'canonical = ' || nullif(r.rngcanonical::oid, 0)::pg_catalog.regproc, 'subtype_diff = ' || nullif(r.rngsubdiff::oid, 0)::pg_catalog.regproc,
            -- Ranges have multiranges from 14 on.
            'multirange_type_name = ' || (to_jsonb(r) ->> 'rngmultitypid')::oid::pg_catalog.regtype)
     from pg_catalog.pg_range r join pg_catalog.pg_opclass o on o.oid = r.rngsubopc where r.rngtypid = t.oid)`;
const BASE = /* sql */ `
  pg_catalog.concat_ws(', ', 'input = ' || t.typinput, 'output = ' || t.typoutput, 'receive = ' || t.typreceive, 'send = ' || t.typsend,
    'typmod_in = ' || t.typmodin, 'typmod_out = ' || t.typmodout, 'analyze = ' || t.typanalyze, 'subscript = ' || (to_jsonb(t) ->> 'typsubscript'),
    'length = ' || t.typlen, 'alignment = ' || t.typalign::text, 'storage = ' || t.typstorage::text, 'category = ' || t.typcategory::text, 
    'preferred = ' || t.typispreferred, 'delimiter = ' || t.typdelim::text, 'default = ' || t.typdefault)`;

const NAME = /* sql */ `pg_catalog.format('%s.%I', t.typnamespace::pg_catalog.regnamespace, t.typname)`;
const CLS = /* sql */ `'pg_catalog.pg_type'::pg_catalog.regclass`;

const TYPES = owned(/* sql */ `
  select ${CLS}, t.oid, t.typnamespace, t.typname, '', case t.typtype when 'e' then 'enum' when 'c' then 'composite' when 'd' then 'domain'
           when 'r' then 'range' else case when t.typisdefined then 'base' else 'shell' end end,
         pg_catalog.format('create %s %s', case t.typtype when 'd' then 'domain' else 'type' end, ${NAME}) || case t.typtype
           when 'e' then ' as enum (' || coalesce(${QUOTED}, '') || ')' when 'c' then ' as (' || coalesce(${ATTRIBUTES}, '') || ')'
           when 'd' then ' as ' || pg_catalog.format_type(t.typbasetype, t.typtypmod) when 'r' then ' as range (' || ${RANGE} || ')'
           else case when t.typisdefined then ' (' || ${BASE} || ')' else '' end end
    from ${OWN_TYPES}
  union all
  select ${CLS}, t.oid, t.typnamespace, t.typname, case t.typtype when 'e' then 'labels' when 'c' then 'attributes' else 'definition' end,
         case t.typtype when 'e' then coalesce(${LABELS}::text, '[]') when 'c' then ${ATTRIBUTES} when 'r' then ${RANGE}
           when 'd' then pg_catalog.format_type(t.typbasetype, t.typtypmod) else ${BASE} end, null
    from ${OWN_TYPES}`);

const DOMAINS = owned(/* sql */ `
  select ${CLS}, t.oid, t.typnamespace, t.typname, p.what, p.text, p.make
    from pg_catalog.pg_type t cross join lateral (
      select 'default' as what, t.typdefault as text, pg_catalog.format('alter domain %s set default %s', ${NAME}, t.typdefault) as make where t.typdefault is not null
      union all
      select 'NOT NULL', 'yes', pg_catalog.format('alter domain %s set not null', ${NAME}) where t.typnotnull
      union all
      select 'collation', t.typcollation::pg_catalog.regcollation::text, null where t.typcollation not in (0, 100)
      union all
      select 'constraint ' || k.conname, pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
             pg_catalog.format('alter domain %s add constraint %I %s', ${NAME}, k.conname, pg_catalog.pg_get_constraintdef(k.oid))
        from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c'
      union all
      select 'state of constraint ' || k.conname, case when k.convalidated then 'valid' else 'not valid' end,
             case when k.convalidated then pg_catalog.format('alter domain %s validate constraint %I', ${NAME}, k.conname) end
        from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c'
      union all
      select 'comment on constraint ' || k.conname, d.description, 
             pg_catalog.format('comment on constraint %I on domain %s is %L', k.conname, ${NAME}, d.description)
        from pg_catalog.pg_constraint k join pg_catalog.pg_description d on d.objoid = k.oid and d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
       where k.contypid = t.oid and k.contype = 'c') p
   where t.typtype = 'd'`);

export const TYPE_FACTS: readonly string[] = [TYPES, DOMAINS];
