/**
 * What the catalogs say about the objects of a database, by kind and without oids, so that two databases can be compared. It
 * checks the comparison of `pg_dump` outputs independently, because pg_dump also wrote what is compared there.
 */
import type pg from 'pg';

/** Excludes objects of the system, of extensions and of walferry; `o` is the object's row, `c` its catalog. */
const own = (catalog: string, schema: string) => /* sql */ `
  ${schema}::regnamespace::text not in ('pg_catalog', 'information_schema', 'pg_toast', 'walferry')
  and not exists (select from pg_depend e where e.classid = '${catalog}'::regclass and e.objid = o.oid and e.deptype = 'e')`;

const ACL = (column: string) =>
  `(select array_agg(a::text order by a::text) from unnest(${column}) a)`;

/** Without a namespace: objects from the cluster's template have low oids. */
const USER_OID = 'o.oid >= 16384';

const relation = (kinds: string, columns: string) => /* sql */ `
  select o.oid::regclass::text as name, o.relkind, o.relowner::regrole::text as owner, ${ACL('o.relacl')} as acl,
         o.reloptions::text, ${columns}
    from pg_class o where o.relkind in (${kinds}) and ${own('pg_class', 'o.relnamespace')}`;

/** A query for each kind; each must find something on the source. */
export const CATALOG: Readonly<Record<string, string>> = {
  schemas: /* sql */ `
    select nspname, nspowner::regrole::text as owner, ${ACL('nspacl')} as acl from pg_namespace o
     where nspname !~ '^pg_' and nspname not in ('information_schema', 'walferry')`,
  extensions: /* sql */ `select extname, extnamespace::regnamespace::text, extversion from pg_extension`,
  'types, enums and ranges': /* sql */ `
    select o.oid::regtype::text as name, typtype, typcategory, typdelim, typnotnull, typdefault, typowner::regrole::text as owner,
           ${ACL('typacl')} as acl, typcollation::regcollation::text as collation, typbasetype::regtype::text as base,
           typinput::regproc::text as input, typisdefined,
           (select array_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = o.oid) as labels,
           (select row(rngsubtype::regtype, rngmultitypid::regtype, rngsubdiff::regproc)::text from pg_range where rngtypid = o.oid) as range
      from pg_type o where ${own('pg_type', 'o.typnamespace')}`,
  'functions, procedures and aggregates': /* sql */ `
    select o.oid::regprocedure::text as name, case when prokind <> 'a' then pg_get_functiondef(o.oid) end as definition,
           proowner::regrole::text as owner, ${ACL('proacl')} as acl,
           (select (row_to_json(a)::jsonb - 'aggfnoid')::text from (select aggfnoid::int, aggkind, aggnumdirectargs, aggtransfn::text,
               aggfinalfn::text, aggcombinefn::text, aggtranstype::regtype::text, agginitval, aggfinalextra
              from pg_aggregate where aggfnoid = o.oid) a) as aggregate
      from pg_proc o where ${own('pg_proc', 'o.pronamespace')}`,
  'operators, classes and families': /* sql */ `
    select o.oid::regoperator::text as name, oprcode::text, oprcom::regoperator::text as commutator, oprrest::text, oprjoin::text,
           oprowner::regrole::text as owner, null as members from pg_operator o where ${own('pg_operator', 'o.oprnamespace')}
    union all
    select 'class ' || opcname, opcintype::regtype::text, f.opfname::text, opckeytype::regtype::text, opcdefault::text,
           opcowner::regrole::text, null from pg_opclass o join pg_opfamily f on f.oid = opcfamily where ${own('pg_opclass', 'o.opcnamespace')}
    union all
    select 'family ' || opfname, null, null, null, null, opfowner::regrole::text,
           (select string_agg(amopstrategy || amopopr::regoperator::text, ' ' order by amopstrategy) from pg_amop where amopfamily = o.oid)
           || (select string_agg(amprocnum || amproc::text, ' ' order by amprocnum) from pg_amproc where amprocfamily = o.oid)
      from pg_opfamily o where ${own('pg_opfamily', 'o.opfnamespace')}`,
  'casts, conversions, languages and access methods': /* sql */ `
    select 'cast' as kind, castsource::regtype::text as name, casttarget::regtype::text as a, castfunc::regproc::text as b,
           castcontext::text as c, castmethod::text as d from pg_cast o where ${USER_OID} and not exists
             (select from pg_depend e where e.classid = 'pg_cast'::regclass and e.objid = o.oid and e.deptype = 'e')
    union all select 'conversion', conname, conproc::text, conforencoding::text, contoencoding::text, condefault::text
      from pg_conversion o where ${own('pg_conversion', 'o.connamespace')}
    union all select 'language', lanname, lanplcallfoid::regproc::text, lanpltrusted::text, ${ACL('lanacl')}::text, lanowner::regrole::text
      from pg_language o where ${USER_OID}
    union all select 'access method', amname, amhandler::text, amtype::text, null, null from pg_am o where ${USER_OID}`,
  'collations and text search': /* sql */ `
    select 'collation' as kind, collname as name, collprovider::text as a, coalesce(collcollate, to_jsonb(o)->>'colliculocale') as b,
           collisdeterministic::text as c, collowner::regrole::text as d from pg_collation o where ${own('pg_collation', 'o.collnamespace')}
    union all select 'dictionary', dictname, dicttemplate::text, dictinitoption, null, dictowner::regrole::text
      from pg_ts_dict o where ${own('pg_ts_dict', 'o.dictnamespace')}
    union all select 'parser', prsname, prsstart::text, prstoken::text, prsheadline::text, null from pg_ts_parser o where ${own('pg_ts_parser', 'o.prsnamespace')}
    union all select 'template', tmplname, tmplinit::text, tmpllexize::text, null, null from pg_ts_template o where ${own('pg_ts_template', 'o.tmplnamespace')}
    union all select 'configuration', cfgname, (select prsname from pg_ts_parser where oid = cfgparser),
        (select string_agg(maptokentype || ':' || mapdict::regdictionary, ' ' order by maptokentype, mapseqno) from pg_ts_config_map where mapcfg = o.oid),
        null, cfgowner::regrole::text from pg_ts_config o where ${own('pg_ts_config', 'o.cfgnamespace')}`,
  'foreign data wrappers, servers and user mappings': /* sql */ `
    select 'wrapper' as kind, fdwname as name, fdwoptions::text as options, ${ACL('fdwacl')} as acl, null as owner from pg_foreign_data_wrapper o
    union all select 'server', srvname, srvoptions::text || srvtype || srvversion, ${ACL('srvacl')}, srvowner::regrole::text from pg_foreign_server o
    union all select 'mapping', srvname, umoptions::text, null, usename from pg_user_mappings`,
  'sequences with their options': /* sql */ `
    select to_jsonb(s) - 'oid' as relation, to_jsonb(q) - 'seqrelid' as options,
           d.refobjid::regclass::text as owned_by, d.refobjsubid, d.deptype
      from (${relation("'S'", 'o.oid')}) s join pg_sequence q on q.seqrelid = s.oid
      left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i')`,
  'tables and what is said about them': relation(
    "'r', 'p'",
    /* sql */ `o.relpersistence, o.relreplident, o.relrowsecurity, o.relforcerowsecurity, o.relispartition, o.reloftype::regtype::text as of_type,
      pg_get_expr(o.relpartbound, o.oid) as bound, pg_get_partkeydef(o.oid) as partition_key,
      (select t.reloptions::text from pg_class t where t.oid = o.reltoastrelid) as toast,
      (select array_agg(inhparent::regclass::text order by inhseqno) from pg_inherits where inhrelid = o.oid) as parents`,
  ),
  'columns with their options': /* sql */ `
    select o.oid::regclass::text as relation, a.attname, row_number() over (partition by o.oid order by a.attnum) as place,
           format_type(a.atttypid, a.atttypmod) as type, a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, a.attcompression,
           coalesce(a.attstattarget, -1) as statistics, (select array_agg(o order by o) from unnest(a.attoptions) o where o not like 'pg\\_attver=%')::text as options, a.attcollation::regcollation::text as collation,
           ${ACL('a.attacl')} as acl, a.attislocal, a.attinhcount, pg_get_expr(d.adbin, d.adrelid) as "default"
      from pg_class o join pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
      left join pg_attrdef d on d.adrelid = o.oid and d.adnum = a.attnum
     where ${own('pg_class', 'o.relnamespace')}`,
  indexes: /* sql */ `
    select pg_get_indexdef(indexrelid) as definition, indisvalid, indisready, indisclustered, indisreplident, indimmediate, o.reloptions::text,
           (select array_agg(coalesce(attstattarget, -1) order by attnum) from pg_attribute where attrelid = o.oid) as statistics,
           (select inhparent::regclass::text from pg_inherits where inhrelid = o.oid) as attached_to
      from pg_index i join pg_class o on o.oid = i.indexrelid where ${own('pg_class', 'o.relnamespace')}`,
  'constraints, valid and not valid': /* sql */ `
    select conrelid::regclass::text as relation, contypid::regtype::text as domain, conname, pg_get_constraintdef(o.oid) as definition,
           -- Keys that a partition got by ATTACH and those from its parent differ in connoinherit, by accident.
           convalidated, condeferrable, condeferred, contype in ('p', 'u') or connoinherit as connoinherit, conislocal, coninhcount, conindid::regclass::text as index
      from pg_constraint o where ${own('pg_constraint', 'o.connamespace')}`,
  'triggers with their state': /* sql */ `
    select tgrelid::regclass::text as relation, pg_get_triggerdef(t.oid) as definition, tgenabled, tgdeferrable, tginitdeferred, tgparentid <> 0 as cloned
      from pg_trigger t join pg_class o on o.oid = tgrelid where not tgisinternal and ${own('pg_class', 'o.relnamespace')}`,
  'rules with their state': /* sql */ `
    select ev_class::regclass::text as relation, pg_get_ruledef(r.oid) as definition, ev_enabled
      from pg_rewrite r join pg_class o on o.oid = ev_class where rulename <> '_RETURN' and ${own('pg_class', 'o.relnamespace')}`,
  'event triggers with their state': /* sql */ `
    select evtname, evtevent, evtfoid::regproc::text as function, evtenabled, evttags::text, evtowner::regrole::text as owner from pg_event_trigger`,
  'row security policies': /* sql */ `
    select polrelid::regclass::text as relation, polname, polcmd, polpermissive,
           (select array_agg(case r when 0 then 'public' else r::regrole::text end order by 1) from unnest(polroles) r) as roles,
           pg_get_expr(polqual, polrelid) as using, pg_get_expr(polwithcheck, polrelid) as check from pg_policy`,
  views: relation("'v'", `pg_get_viewdef(o.oid) as definition`),
  'materialized views': relation(
    "'m'",
    `pg_get_viewdef(o.oid) as definition, o.relispopulated as populated`,
  ),
  'statistics objects': /* sql */ `
    select pg_get_statisticsobjdef(o.oid) as definition, coalesce(stxstattarget, -1) as target, stxowner::regrole::text as owner,
           (select count(*) from pg_statistic_ext_data d where d.stxoid = o.oid) as filled from pg_statistic_ext o`,
  'default privileges': /* sql */ `
    select defaclrole::regrole::text as role, nullif(defaclnamespace, 0)::regnamespace::text as schema, defaclobjtype, ${ACL('defaclacl')} as acl
      from pg_default_acl`,
  comments: /* sql */ `
    select i.type, i.identity, d.description from pg_description d, lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) i
     where d.objoid >= 16384 and i.identity <> 'walferry' and not exists
       (select from pg_depend e where e.classid = d.classoid and e.objid = d.objoid and e.deptype = 'e')
       and not (d.classoid = 'pg_extension'::regclass)`,
};

/** The result of a catalog query, as sorted lines of JSON. */
export async function catalogLines(client: pg.Client, sql: string): Promise<string[]> {
  // A name without its schema would hide that the schema differs.
  await client.query(/* sql */ `set search_path = ''`);
  const { rows } = await client.query<{ row: string }>(
    /* sql */ `select to_jsonb(r)::text as row from (${sql}) r order by 1`,
  );
  return rows.map(({ row }) => row);
}
