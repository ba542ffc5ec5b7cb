/** What the queries for relations and their parts have in common. */

/**
 * The relations named by `$1` (schemas) and `$2` (names), as `t`. The triggers of walferry's own fence belong to no schema that is
 * moved.
 */
export const ON_RELATIONS = /* sql */ `
with recursive t as (
  select c.oid, c.relkind, n.nspname as schema, c.relname as "table", pg_catalog.format('%I.%I', n.nspname, c.relname) as sql,
         case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end as word
    from unnest($1::text[], $2::text[]) as wanted (schema, name)
    join pg_catalog.pg_namespace n on n.nspname = wanted.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name and c.relkind in ('r', 'p', 'v', 'm')
)`;

/** The rights of a list, one row a grantee. Owners are named by their role in the list, so that other owners do not matter. */
export const rights = (list: string, kind: string, owner: string): string => /* sql */ `
  select case when x.grantee = ${owner} then 'its owner' when x.grantee = 0 then 'PUBLIC' else r.rolname end as who,
         case when x.grantee = 0 then 'PUBLIC' else pg_catalog.quote_ident(r.rolname) end as role,
         -- MAINTAIN is new in 17: only one side may have it.
         pg_catalog.string_agg(x.privilege_type || case when x.is_grantable and x.grantee <> ${owner} then '*' else '' end, ', '
           order by x.privilege_type, x.is_grantable) filter (where x.privilege_type <> 'MAINTAIN') as list,
         pg_catalog.string_agg(distinct x.privilege_type, ', ') filter (where not x.is_grantable or x.grantee = ${owner}) as plain,
         pg_catalog.string_agg(distinct x.privilege_type, ', ') filter (where x.is_grantable and x.grantee <> ${owner}) as grantable
    from pg_catalog.aclexplode(coalesce(${list}, pg_catalog.acldefault('${kind}', ${owner}))) x
    left join pg_catalog.pg_roles r on r.oid = x.grantee
   where x.grantee = 0 or r.oid is not null
   group by x.grantee, r.rolname`;

/** The statements for a row of {@link rights}. @param on SQL expression for the object, as GRANT names it. */
export const grantOf = (on: string, row = 'g'): string => /* sql */ `
  pg_catalog.concat_ws('; ', case when ${row}.plain is not null then pg_catalog.format('grant %s on %s to %s', ${row}.plain, ${on}, ${row}.role) end,
    case when ${row}.grantable is not null then pg_catalog.format('grant %s on %s to %s with grant option', ${row}.grantable, ${on}, ${row}.role) end)`;

export const revokeOf = (on: string, row = 'g'): string =>
  /* sql */ `pg_catalog.format('revoke all on %s from %s', ${on}, ${row}.role)`;
