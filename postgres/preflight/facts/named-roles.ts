/**
 * Roles that the moved schema refers to. Unselected tables do not count, nor do extension members, which the target's extension
 * creates. A schema's owner is needed only if the target lacks the schema. Which of the roles matter depends on the input. The
 * archive names owners and grantees only in its statements, which walferry does not parse.
 */
import { shared, type SourceReading } from '../reading.ts';
import { relations } from './selected.ts';
import { unmoved } from './unmoved.ts';
import { USERS } from './user-object.ts';

export interface NamedRoles {
  /** Of all objects except schemas. */
  readonly owners: readonly string[];
  /** Every schema with its owner; copySchema creates only those missing on the target. */
  readonly schemas: readonly { readonly schema: string; readonly owner: string }[];
  readonly grantees: readonly string[];
  /** In row security policies, which are always moved. */
  readonly policies: readonly string[];
}

export const roles = shared(async (of: SourceReading): Promise<NamedRoles> => {
  const selected = (await relations(of)).filter(({ viaRoot }) => viaRoot === null);
  const { rows } = await of.client.query<{
    kind: 'owner' | 'schema' | 'grantee' | 'policy';
    name: string;
    schema: string;
  }>(
    /* sql */ `
    with object (class, oid, schema, owner, acl) as (
      select 'pg_class'::regclass::oid, c.oid, c.relnamespace, c.relowner, c.relacl
        from pg_catalog.pg_class c
       where c.relkind in ('v', 'm', 'S') and c.relpersistence <> 't' and c.oid not in (select unnest($2::oid[]))
          or c.oid = any($1::oid[])
      union all
      select 'pg_class'::regclass::oid, a.attrelid, c.relnamespace, null, a.attacl
        from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
       where a.attacl is not null and (c.relkind in ('v', 'm') and c.oid not in (select unnest($2::oid[])) or c.oid = any($1::oid[]))
      union all
      select 'pg_namespace'::regclass::oid, n.oid, n.oid, n.nspowner, n.nspacl
        from pg_catalog.pg_namespace n
      union all
      select 'pg_proc'::regclass::oid, p.oid, p.pronamespace, p.proowner, p.proacl
        from pg_catalog.pg_proc p
      union all
      select 'pg_type'::regclass::oid, t.oid, t.typnamespace, t.typowner, t.typacl
        from pg_catalog.pg_type t
        -- A table's row type and an array follow their table or element.
       where t.typtype in ('d', 'e', 'r') or t.typtype = 'c' and exists (
         select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind = 'c')
    ), moved (owner, acl, schema) as (
      select o.owner, o.acl, case o.class when 'pg_namespace'::regclass then n.nspname else '' end
        from object o join pg_catalog.pg_namespace n on n.oid = o.schema
       where ${USERS}
         and not exists (select from pg_catalog.pg_depend d
                          where d.classid = o.class and d.objid = o.oid and d.objsubid = 0 and d.deptype = 'e')
      union all
      select null, d.defaclacl, '' from pg_catalog.pg_default_acl d
    ), changed (kind, owner, acl, initial) as (
      select o.kind, o.owner, o.acl, i.initprivs
        from (select 'pg_proc'::regclass::oid, oid, 0, pronamespace, 'f'::"char", proowner, proacl from pg_catalog.pg_proc
              union all
              select 'pg_class'::regclass, oid, 0, relnamespace, case relkind when 'S' then 's'::"char" else 'r' end, relowner, relacl
                from pg_catalog.pg_class
              union all
              select 'pg_class'::regclass, attrelid, attnum, relnamespace, 'c', relowner, attacl
                from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
              union all
              select 'pg_type'::regclass, oid, 0, typnamespace, 'T', typowner, typacl from pg_catalog.pg_type
             ) as o (class, oid, sub, schema, kind, owner, acl)
        left join pg_catalog.pg_init_privs i on i.classoid = o.class and i.objoid = o.oid and i.objsubid = o.sub
       where o.acl is not null
         and (o.schema in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
              or exists (select from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
                          where d.classid = o.class and d.objid = o.oid and d.objsubid = 0 and d.deptype = 'e'
                            and d.refclassid = 'pg_extension'::regclass and e.extname <> all($3::text[])))
    ), named (kind, oid, schema) as (
      select case schema when '' then 'owner' else 'schema' end, owner, schema from moved
      union select 'grantee', x.grantee, '' from moved cross join lateral aclexplode(moved.acl) x
             -- pg_dump does not write the privileges that an owner has by default.
             where moved.schema = '' or x.grantee <> moved.owner
                or not (acldefault('n', moved.owner))[1] = any (moved.acl)
      union select 'grantee', d.defaclrole, '' from pg_catalog.pg_default_acl d
      -- pg_dump writes grants on extension members and system objects that changed since their creation.
      union select 'grantee', x.grantee, '' from changed cross join lateral (
               select grantee, privilege_type from aclexplode(changed.acl)
               except select grantee, privilege_type from aclexplode(changed.initial)
               except select grantee, privilege_type from aclexplode(acldefault(changed.kind, changed.owner))) x
      union select 'policy', m.umuser, '' from pg_catalog.pg_user_mappings m
      union select 'policy', r.oid, '' from pg_catalog.pg_policy p, unnest(p.polroles) as r (oid)
             where p.polrelid = any($1::oid[])
    )
    select named.kind, r.rolname as name, named.schema
      from named join pg_catalog.pg_roles r on r.oid = named.oid order by 1, 2, 3`,
    [selected.map(({ oid }) => oid), await unmoved(of), of.input.ignore.extensions],
  );
  const named = (kind: string) => rows.filter((row) => row.kind === kind).map(({ name }) => name);
  return {
    owners: named('owner'),
    schemas: rows.flatMap(({ kind, name, schema }) =>
      kind === 'schema' ? [{ schema, owner: name }] : [],
    ),
    grantees: named('grantee'),
    policies: named('policy'),
  };
});
