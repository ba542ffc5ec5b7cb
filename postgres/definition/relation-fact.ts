/** Queries for tables, views and materialized views themselves: kind, options, place in a tree, row security, rights, comments. */
import { grantOf, ON_RELATIONS, revokeOf, rights } from './on-relation.ts';

const EXISTS = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", '' as part, case t.relkind when 'p' then 'partitioned table' else t.word end as text,
       case when t.relkind in ('v', 'm') then pg_catalog.format('drop %s %s', t.word, t.sql) end as remove,
       'pg_catalog.pg_class'::pg_catalog.regclass::oid::text as cls, t.oid::text as oid
  from t`;

const VIEWS = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", '' as part, 'definition' as what, d.text,
       pg_catalog.format('create %s %s as %s%s', case t.relkind when 'v' then 'or replace view' else t.word end, t.sql,
         pg_catalog.rtrim(d.text, ';'), case when t.relkind = 'm' and not c.relispopulated then ' with no data' else '' end) as make,
       case t.relkind when 'm' then pg_catalog.format('drop materialized view %s', t.sql) end as remove
  from t join pg_catalog.pg_class c on c.oid = t.oid
 cross join lateral (select pg_catalog.pg_get_viewdef(t.oid) as text) d where t.relkind in ('v', 'm')
union all
select t.schema, t."table", '', 'contents', case when c.relispopulated then 'filled' else 'empty' end,
       pg_catalog.format('refresh materialized view %s%s', t.sql, case when c.relispopulated then '' else ' with no data' end), null
  from t join pg_catalog.pg_class c on c.oid = t.oid where t.relkind = 'm'`;

const PROPERTIES = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", p.part, p.what, p.text, p.make, p.remove
  from t join pg_catalog.pg_class c on c.oid = t.oid
 cross join lateral (
   select '' as part, 'persistence' as what, case c.relpersistence when 'u' then 'unlogged' else 'logged' end as text,
          pg_catalog.format('alter table %s set %s', t.sql, case c.relpersistence when 'u' then 'unlogged' else 'logged' end) as make,
          null as remove where t.relkind in ('r', 'm')
   union all
   select '', 'replica identity', case c.relreplident when 'd' then 'default' when 'n' then 'nothing' when 'f' then 'full'
          else 'using index ' || i.relname end,
          pg_catalog.format('alter table %s replica identity %s', t.sql, case c.relreplident when 'd' then 'default' when 'n' then 'nothing'
            when 'f' then 'full' else 'using index ' || pg_catalog.quote_ident(i.relname) end), null
     from (select) one left join pg_catalog.pg_index x on x.indrelid = t.oid and x.indisreplident
     left join pg_catalog.pg_class i on i.oid = x.indexrelid where t.relkind in ('r', 'p')
   union all
   select 'row security', '', '', pg_catalog.format('alter table %s enable row level security', t.sql),
          pg_catalog.format('alter table %s disable row level security', t.sql) where c.relrowsecurity
   union all
   select 'forced row security', '', '', pg_catalog.format('alter table %s force row level security', t.sql),
          pg_catalog.format('alter table %s no force row level security', t.sql) where c.relforcerowsecurity
   union all
   select '', 'partition key', pg_catalog.pg_get_partkeydef(t.oid), null, null where t.relkind = 'p'
   union all
   select '', 'row type', pg_catalog.format_type(c.reloftype, null), null, null where c.reloftype <> 0
   union all
   select 'storage parameter ' || o.name, '', o.value, pg_catalog.format('alter %s %s set (%s = %L)', t.word, t.sql, o.name, o.value),
          pg_catalog.format('alter %s %s reset (%s)', t.word, t.sql, o.name)
     from (select pg_catalog.split_part(one, '=', 1) as name, pg_catalog.substr(one, pg_catalog.strpos(one, '=') + 1) as value
             from unnest(c.reloptions) one
           union all
           select 'toast.' || pg_catalog.split_part(one, '=', 1), pg_catalog.substr(one, pg_catalog.strpos(one, '=') + 1)
             from pg_catalog.pg_class toast, unnest(toast.reloptions) one where toast.oid = c.reltoastrelid) o
   union all
   select 'place under ' || i.inhparent::pg_catalog.regclass, '', coalesce(pg_catalog.pg_get_expr(c.relpartbound, c.oid), ''),
          case when c.relispartition then pg_catalog.format('alter table %s attach partition %s %s', i.inhparent::pg_catalog.regclass, t.sql,
                 pg_catalog.pg_get_expr(c.relpartbound, c.oid))
               else pg_catalog.format('alter table %s inherit %s', t.sql, i.inhparent::pg_catalog.regclass) end,
          case when c.relispartition then pg_catalog.format('alter table %s detach partition %s', i.inhparent::pg_catalog.regclass, t.sql)
               else pg_catalog.format('alter table %s no inherit %s', t.sql, i.inhparent::pg_catalog.regclass) end
     from pg_catalog.pg_inherits i where i.inhrelid = t.oid and not coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false)
 ) p`;

const OWNERS = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", '' as part, 'owner' as what, pg_catalog.pg_get_userbyid(c.relowner) as text,
       pg_catalog.format('alter %s %s owner to %I', t.word, t.sql, pg_catalog.pg_get_userbyid(c.relowner)) as make
  from t join pg_catalog.pg_class c on c.oid = t.oid`;

const GRANTS = /* sql */ `${ON_RELATIONS}
select t.schema, t."table", '' as part, 'rights of ' || g.who as what, g.list as text, ${grantOf('t.sql')} as make, ${revokeOf('t.sql')} as remove
  from t join pg_catalog.pg_class c on c.oid = t.oid
 cross join lateral (${rights('c.relacl', 'r', 'c.relowner')}) g where g.list is not null
union all
select t.schema, t."table", 'column ' || a.attname, 'rights of ' || g.who, g.list,
       pg_catalog.format('grant %s on %s to %s', (select pg_catalog.string_agg(pg_catalog.format('%s (%I)', pg_catalog.rtrim(one, '*'), a.attname), ', ')
                                                    from pg_catalog.regexp_split_to_table(g.list, ', ') one), t.sql, g.role),
       pg_catalog.format('revoke all (%I) on %s from %s', a.attname, t.sql, g.role)
  from t join pg_catalog.pg_class c on c.oid = t.oid
  join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.attacl is not null
 cross join lateral (${rights('a.attacl', 'c', 'c.relowner')}) g where g.list is not null`;

const COMMENTS = /* sql */ `${ON_RELATIONS}, part (relid, cls, oid, sub, part, sql) as (
  select t.oid, 'pg_catalog.pg_class'::pg_catalog.regclass::oid, t.oid, 0, '', pg_catalog.format('%s %s', t.word, t.sql) from t
  union all
  select t.oid, 'pg_catalog.pg_class'::pg_catalog.regclass, t.oid, a.attnum::int, 'column ' || a.attname, pg_catalog.format('column %s.%I', t.sql, a.attname)
    from t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  union all
  select t.oid, 'pg_catalog.pg_class'::pg_catalog.regclass, x.oid, 0, 'index ' || x.relname, pg_catalog.format('index %I.%I', t.schema, x.relname)
    from t join pg_catalog.pg_index i on i.indrelid = t.oid join pg_catalog.pg_class x on x.oid = i.indexrelid
  union all
  select t.oid, 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0, 'constraint ' || k.conname, pg_catalog.format('constraint %I on %s', k.conname, t.sql)
    from t join pg_catalog.pg_constraint k on k.conrelid = t.oid and k.contype not in ('n', 't')
  union all
  select t.oid, 'pg_catalog.pg_trigger'::pg_catalog.regclass, g.oid, 0, 'trigger ' || g.tgname, pg_catalog.format('trigger %I on %s', g.tgname, t.sql)
    from t join pg_catalog.pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
  union all
  select t.oid, 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, 0, 'rule ' || r.rulename, pg_catalog.format('rule %I on %s', r.rulename, t.sql)
    from t join pg_catalog.pg_rewrite r on r.ev_class = t.oid and r.rulename <> '_RETURN'
  union all
  select t.oid, 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, 0, 'policy ' || p.polname, pg_catalog.format('policy %I on %s', p.polname, t.sql)
    from t join pg_catalog.pg_policy p on p.polrelid = t.oid
)
select t.schema, t."table", p.part, 'comment' as what, d.description as text,
       pg_catalog.format('comment on %s is %L', p.sql, d.description) as make, pg_catalog.format('comment on %s is null', p.sql) as remove
  from part p join t on t.oid = p.relid
  join pg_catalog.pg_description d on d.classoid = p.cls and d.objoid = p.oid and d.objsubid = p.sub`;

export const RELATION_FACTS: readonly string[] = [EXISTS, VIEWS, PROPERTIES, COMMENTS];
/** Only where the input carries them. */
export const RELATION_OWNERS = OWNERS;
export const RELATION_GRANTS = GRANTS;
