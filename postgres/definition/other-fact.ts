/** Queries for the remaining kinds: schemas, extensions, sequences, text search, collations, languages, foreign servers, event triggers. */
import { FIRST_USER_OID, owned } from './compared-object.ts';

const SCHEMAS = owned(/* sql */ `
  select 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, n.oid, n.nspname, '', '', pg_catalog.format('create schema %I', n.nspname)
    from pg_catalog.pg_namespace n`);

/** A newer version on the target is that server's own. */
const EXTENSIONS = /* sql */ `
select 'extension' as kind, pg_catalog.quote_ident(e.extname) as identity, e.extname as tag, p.what, p.text, p.make,
       case when p.what = '' then pg_catalog.format('drop extension %I', e.extname) end as remove, 'pg_catalog.pg_extension'::pg_catalog.regclass::oid::text as cls, e.oid::text as oid
  from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
 cross join lateral (
   select '' as what, '' as text, pg_catalog.format('create extension %I schema %I', e.extname, n.nspname) as make
   union all select 'schema', n.nspname, pg_catalog.format('alter extension %I set schema %I', e.extname, n.nspname)
   union all select 'version', e.extversion, pg_catalog.format('alter extension %I update', e.extname)) p`;

/** Those of columns are compared with the table, because their names may differ: here only what is said about them. */
const SEQUENCES = owned(/* sql */ `
  select 'pg_catalog.pg_class'::pg_catalog.regclass, s.oid, s.relnamespace, s.relname, p.what, p.text, p.make
    from pg_catalog.pg_class s join pg_catalog.pg_sequence q on q.seqrelid = s.oid
   cross join lateral (select pg_catalog.format('%s.%I', s.relnamespace::pg_catalog.regnamespace, s.relname) as name,
     pg_catalog.format(' as %s increment %s minvalue %s maxvalue %s start %s cache %s %scycle', q.seqtypid::pg_catalog.regtype, q.seqincrement, q.seqmin, q.seqmax,
       q.seqstart, q.seqcache, case when q.seqcycle then '' else 'no ' end) as options) n
   cross join lateral (select '' as what, '' as text, 'create sequence ' || n.name || n.options as make
                       union all select 'definition', n.options, 'alter sequence ' || n.name || n.options) p
   where s.relkind = 'S' and s.relpersistence <> 't'
     and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = s.oid
                        and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i'))`);

const COLLATIONS = owned(/* sql */ `
  select 'pg_catalog.pg_collation'::pg_catalog.regclass, l.oid, l.collnamespace, l.collname, '', 
         -- Locales are compared with the columns that use them: versions spell them differently.
         pg_catalog.concat_ws(', ', 'provider = ' || l.collprovider::text, 'deterministic = ' || l.collisdeterministic), 
         pg_catalog.format('create collation %s.%I (provider = %s, locale = %L, deterministic = %s)', l.collnamespace::pg_catalog.regnamespace, l.collname,
           case l.collprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end,
           coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collcollate), l.collisdeterministic)
    from pg_catalog.pg_collation l
  union all
  select 'pg_catalog.pg_conversion'::pg_catalog.regclass, c.oid, c.connamespace, c.conname, '',
         pg_catalog.concat_ws(', ', pg_catalog.pg_encoding_to_char(c.conforencoding), pg_catalog.pg_encoding_to_char(c.contoencoding), c.conproc, c.condefault), 
         pg_catalog.format('create %sconversion %s.%I for %L to %L from %s', case when c.condefault then 'default ' else '' end, c.connamespace::pg_catalog.regnamespace,
           c.conname, pg_catalog.pg_encoding_to_char(c.conforencoding), pg_catalog.pg_encoding_to_char(c.contoencoding), c.conproc)
    from pg_catalog.pg_conversion c`);

const SEARCH = owned(/* sql */ `
  select 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, d.oid, d.dictnamespace, d.dictname, '', pg_catalog.concat_ws(', ', 'template = ' || d.template, d.dictinitoption), null
    from (select d.*, m.tmplnamespace::pg_catalog.regnamespace || '.' || m.tmplname as template from pg_catalog.pg_ts_dict d join pg_catalog.pg_ts_template m on m.oid = d.dicttemplate) d
  union all
  select 'pg_catalog.pg_ts_parser'::pg_catalog.regclass, p.oid, p.prsnamespace, p.prsname, '',
         pg_catalog.concat_ws(', ', p.prsstart, p.prstoken, p.prsend, p.prsheadline, p.prslextype), null from pg_catalog.pg_ts_parser p
  union all
  select 'pg_catalog.pg_ts_template'::pg_catalog.regclass, m.oid, m.tmplnamespace, m.tmplname, '', pg_catalog.concat_ws(', ', m.tmplinit, m.tmpllexize), null
    from pg_catalog.pg_ts_template m
  union all
  select 'pg_catalog.pg_ts_config'::pg_catalog.regclass, c.oid, c.cfgnamespace, c.cfgname, '', pg_catalog.concat_ws(', ', 'parser = ' || p.prsname,
           (select pg_catalog.string_agg(m.maptokentype || ' ' || m.mapdict::pg_catalog.regdictionary, ', ' order by m.maptokentype, m.mapseqno)
              from pg_catalog.pg_ts_config_map m where m.mapcfg = c.oid)), null
    from pg_catalog.pg_ts_config c join pg_catalog.pg_ts_parser p on p.oid = c.cfgparser`);

/** Options of user mappings are not readable by everybody, and not compared. */
const SERVERS = owned(/* sql */ `
  select 'pg_catalog.pg_language'::pg_catalog.regclass, l.oid, null::oid, l.lanname, '', pg_catalog.concat_ws(', ', 'handler = ' || l.lanplcallfoid::pg_catalog.regproc, 
           'inline = ' || nullif(l.laninline, 0)::pg_catalog.regproc, 'validator = ' || nullif(l.lanvalidator, 0)::pg_catalog.regproc, 'trusted = ' || l.lanpltrusted), null
    from pg_catalog.pg_language l where l.lanispl
  union all
  select 'pg_catalog.pg_am'::pg_catalog.regclass, m.oid, null, m.amname, '', pg_catalog.concat_ws(', ', m.amtype, m.amhandler),
         pg_catalog.format('create access method %I type %s handler %s', m.amname, case m.amtype when 'i' then 'index' else 'table' end, m.amhandler)
    from pg_catalog.pg_am m
  union all
  select 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, f.oid, null, f.fdwname, '', pg_catalog.concat_ws(', ', 'handler = ' || nullif(f.fdwhandler, 0)::pg_catalog.regproc,
           'validator = ' || nullif(f.fdwvalidator, 0)::pg_catalog.regproc, (select pg_catalog.string_agg(o, ', ' order by o) from unnest(f.fdwoptions) o)), null
    from pg_catalog.pg_foreign_data_wrapper f
  union all
  select 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, s.oid, null, s.srvname, '', pg_catalog.concat_ws(', ', 'wrapper = ' || f.fdwname, 'type = ' || s.srvtype, 'version = ' || s.srvversion,
           -- A password may be among the values: a server's options are its owner's.
           'options ' || (select pg_catalog.md5(pg_catalog.string_agg(o, ', ' order by o)) from unnest(s.srvoptions) o)), null
    from pg_catalog.pg_foreign_server s join pg_catalog.pg_foreign_data_wrapper f on f.oid = s.srvfdw`);

const EVENT_TRIGGERS = /* sql */ `
select 'event trigger' as kind, pg_catalog.quote_ident(e.evtname) as identity, e.evtname as tag, p.what, p.text, p.make, case when p.what = '' then pg_catalog.format('drop event trigger %I', e.evtname) end as remove,
       'pg_catalog.pg_event_trigger'::pg_catalog.regclass::oid::text as cls, e.oid::text as oid
  from pg_catalog.pg_event_trigger e cross join lateral (
   select '' as what, pg_catalog.concat_ws(', ', e.evtevent, e.evtfoid::pg_catalog.regprocedure, (select pg_catalog.string_agg(g, ', ' order by g) from unnest(e.evttags) g)) as text,
          pg_catalog.format('create event trigger %I on %s%s execute function %s', e.evtname, e.evtevent,
            (select ' when tag in (' || pg_catalog.string_agg(pg_catalog.quote_literal(g), ', ' order by g) || ')' from unnest(e.evttags) g), e.evtfoid::pg_catalog.regprocedure) as make
   union all
   select 'state', case e.evtenabled when 'O' then 'enabled' when 'A' then 'enabled always' when 'R' then 'enabled for replicas' else 'disabled' end,
          pg_catalog.format('alter event trigger %I %s', e.evtname, case e.evtenabled when 'O' then 'enable' when 'A' then 'enable always' when 'R' then 'enable replica' else 'disable' end)) p
 where e.oid >= ${FIRST_USER_OID}
   and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass and d.objid = e.oid and d.deptype = 'e')`;

export const OTHER_FACTS: readonly string[] = [
  SCHEMAS,
  EXTENSIONS,
  SEQUENCES,
  COLLATIONS,
  SEARCH,
  SERVERS,
  EVENT_TRIGGERS,
];
