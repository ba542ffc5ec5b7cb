/** Queries for owners, rights and comments of objects beside relations, and for default privileges. */
import { KEYWORD, owned } from './compared-object.ts';
import { grantOf, revokeOf, rights } from './on-relation.ts';

/** Catalog, column of the namespace, owner and list of rights, and the letter of the default rights. */
const CATALOGS: readonly (readonly [
  catalog: string,
  namespace: string | null,
  owner: string,
  acl: string | null,
  kind: string,
  name: string,
])[] = [
  ['pg_type', 'typnamespace', 'typowner', 'typacl', 'T', 'typname'],
  ['pg_proc', 'pronamespace', 'proowner', 'proacl', 'f', 'proname'],
  ['pg_operator', 'oprnamespace', 'oprowner', null, '', 'oprname'],
  ['pg_opclass', 'opcnamespace', 'opcowner', null, '', 'opcname'],
  ['pg_opfamily', 'opfnamespace', 'opfowner', null, '', 'opfname'],
  ['pg_collation', 'collnamespace', 'collowner', null, '', 'collname'],
  ['pg_conversion', 'connamespace', 'conowner', null, '', 'conname'],
  ['pg_statistic_ext', 'stxnamespace', 'stxowner', null, '', 'stxname'],
  ['pg_ts_dict', 'dictnamespace', 'dictowner', null, '', 'dictname'],
  ['pg_ts_config', 'cfgnamespace', 'cfgowner', null, '', 'cfgname'],
  ['pg_language', null, 'lanowner', 'lanacl', 'l', 'lanname'],
  ['pg_foreign_data_wrapper', null, 'fdwowner', 'fdwacl', 'F', 'fdwname'],
  ['pg_foreign_server', null, 'srvowner', 'srvacl', 'S', 'srvname'],
  ['pg_event_trigger', null, 'evtowner', null, '', 'evtname'],
  ['pg_class', 'relnamespace', 'relowner', 'relacl', 's', 'relname'],
];

/** Row types, array types and multiranges have no owner or rights of their own; of pg_class only sequences are meant. */
const WHICH: Readonly<Record<string, string>> = {
  pg_type: `o.typelem = 0 and o.typtype <> 'm' and (o.typrelid = 0 or o.typtype = 'c' and exists (select from pg_catalog.pg_class c where c.oid = o.typrelid and c.relkind = 'c'))`,
  pg_class: `o.relkind = 'S'`,
  pg_namespace: `o.nspname <> 'public'`,
  pg_proc: `not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = o.oid and d.deptype = 'i')`,
};

/** The word of GRANT: a domain is a type there. */
const ON = /* sql */ `case i.type when 'domain' then 'type' when 'composite type' then 'type' when 'foreign-data wrapper' then 'foreign data wrapper'
  when 'server' then 'foreign server' when 'aggregate' then 'function' when 'window function' then 'function' else i.type end || ' ' || i.identity`;

/** A column's sequence has the owner of its table. */
const OWNED_BY_COLUMN = /* sql */ `exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  and d.objid = o.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i'))`;

export const OWNERS: readonly string[] = CATALOGS.map(([catalog, namespace, owner, , , name]) =>
  owned(
    /* sql */ `
    select 'pg_catalog.${catalog}'::pg_catalog.regclass, o.oid, ${namespace === null ? 'null::oid' : `o.${namespace}`}, o.${name}, 'owner', 
           pg_catalog.pg_get_userbyid(o.${owner}), pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(o.${owner}))
      from pg_catalog.${catalog} o where ${WHICH[catalog] ?? 'true'}${catalog === 'pg_class' ? ` and not ${OWNED_BY_COLUMN}` : ''}`,
    /* sql */ `pg_catalog.format('alter %s %s owner to %s', ${KEYWORD}, i.identity, w.make)`,
  ),
);

/** `make` carries the parts of the statement: two lists of rights and the role. */
export const GRANTS: readonly string[] = CATALOGS.flatMap(
  ([catalog, namespace, owner, acl, kind, name]) =>
    acl === null
      ? []
      : [
          owned(
            /* sql */ `
    select 'pg_catalog.${catalog}'::pg_catalog.regclass, o.oid, ${namespace === null ? 'null::oid' : `o.${namespace}`}, o.${name}, 'rights of ' || g.who, g.list,
           pg_catalog.jsonb_build_object('plain', g.plain, 'grantable', g.grantable, 'role', g.role)
      from pg_catalog.${catalog} o cross join lateral (${rights(`o.${acl}`, kind, `o.${owner}`)}) g
     where g.list is not null and (${WHICH[catalog] ?? 'true'})`,
            /* sql */ `(select ${grantOf(ON)} from pg_catalog.jsonb_to_record(w.make) as g (plain text, grantable text, role text))`,
            /* sql */ `(select ${revokeOf(ON)} from pg_catalog.jsonb_to_record(w.make) as g (role text))`,
          ),
        ],
);

/** On what is compared elsewhere as a relation or its part, comments are read there. */
export const OBJECT_COMMENTS: readonly string[] = [
  ...CATALOGS,
  // The server comments on `public` itself.
  ['pg_namespace', 'oid', '', null, '', 'nspname'] as const,
].map(([catalog, namespace, , , , name]) =>
  owned(
    /* sql */ `
    select 'pg_catalog.${catalog}'::pg_catalog.regclass, o.oid, ${namespace === null ? 'null::oid' : `o.${namespace}`}, o.${name}, 'comment', d.description, d.description
      from pg_catalog.${catalog} o join pg_catalog.pg_description d on d.classoid = 'pg_catalog.${catalog}'::pg_catalog.regclass and d.objoid = o.oid and d.objsubid = 0
     where ${WHICH[catalog] ?? 'true'}`,
    /* sql */ `pg_catalog.format('comment on %s %s is %L', ${KEYWORD}, i.identity, w.make)`,
    /* sql */ `pg_catalog.format('comment on %s %s is null', ${KEYWORD}, i.identity)`,
  ),
);

/** The owner of a schema that existed on the target is named when the schema is copied, its additional rights, too. */
export const SCHEMA_GRANTS = owned(/* sql */ `
    select 'pg_catalog.pg_namespace'::pg_catalog.regclass, o.oid, o.oid, o.nspname, x.privilege_type || ' for ' || coalesce(r.rolname, 'PUBLIC'), '',
           pg_catalog.format('grant %s on schema %I to %s', x.privilege_type, o.nspname, coalesce(pg_catalog.quote_ident(r.rolname), 'public'))
      from pg_catalog.pg_namespace o cross join lateral pg_catalog.aclexplode(o.nspacl) x left join pg_catalog.pg_roles r on r.oid = x.grantee
     where o.nspname <> 'public' and x.grantee <> o.nspowner and (x.grantee = 0 or r.oid is not null)`);

/** Without walferry's own role: what it creates while it works is its own. */
export const DEFAULT_PRIVILEGES = /* sql */ `
select 'default privileges' as kind, pg_catalog.concat_ws(' ', 'of', pg_catalog.quote_ident(r.rolname), 'in ' || pg_catalog.quote_ident(n.nspname), 'on', w.word) as identity, n.nspname as schema,
       'rights of ' || g.who as what, g.list as text, 
       pg_catalog.format('alter default privileges for role %I%s grant %s on %s to %s', r.rolname, ' in schema ' || pg_catalog.quote_ident(n.nspname), g.plain, w.word, g.role) as make,
       pg_catalog.format('alter default privileges for role %I%s revoke all on %s from %s', r.rolname, ' in schema ' || pg_catalog.quote_ident(n.nspname), w.word, g.role) as remove,
       'pg_catalog.pg_default_acl'::pg_catalog.regclass::oid::text as cls, a.oid::text as oid
  from pg_catalog.pg_default_acl a join pg_catalog.pg_roles r on r.oid = a.defaclrole left join pg_catalog.pg_namespace n on n.oid = a.defaclnamespace
 cross join lateral (select case a.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end as word) w
 cross join lateral (${rights('a.defaclacl', 'r', 'a.defaclrole')}) g where g.list is not null and r.rolname <> current_user`;
