/**
 * Who writes to the tables when no one has a right on them any more: roles that need none, and whatever writes with the rights of such a
 * role on behalf of others. It is named, not taken away. Reads catalogs; waits for no lock.
 */
import type pg from 'pg';
import { MOST_NAMED, type Passing } from '../../contract/fence.ts';
import { listed } from '../../contract/listed.ts';
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';

/** Whether a session of a role can act as another one: by inheritance or SET ROLE, which 16 tells from mere membership. */
const actsAs = (
  role: string,
  as: string,
): string => /* sql */ `pg_catalog.pg_has_role(${role}, ${as},
  case when pg_catalog.current_setting('server_version_num')::int4 >= 160000 then 'usage, set' else 'member' end)`;

/** Whether a role writes to an owner's tables without a right on them. What runs with its rights sets no other role. */
const keepsWriting = (role: string, owner: string): string => /* sql */ `(
  pg_catalog.pg_has_role(${role}, ${owner}, 'usage')
  or exists (select from pg_catalog.pg_roles w where w.rolname = 'pg_write_all_data' and pg_catalog.pg_has_role(${role}, w.oid, 'usage')))`;

const OF_OWNERS = /* sql */ `(select distinct c.relowner from pg_catalog.pg_class c where c.oid = any($1::oid[])) o`;

/** Superusers act as everybody. */
const OWNERS = /* sql */ `
select r.rolname::text as name from pg_catalog.pg_roles r
 where r.rolcanlogin and r.rolname <> current_user
   and (r.rolsuper or exists (select from ${OF_OWNERS} where ${actsAs('r.oid', 'o.relowner')})) order by 1`;

/** From 14 on. */
const WRITE_ALL = /* sql */ `
select r.rolname::text as name from pg_catalog.pg_roles r join pg_catalog.pg_roles w on w.rolname = 'pg_write_all_data'
 where r.rolcanlogin and r.rolname <> current_user and not r.rolsuper and ${actsAs('r.oid', 'w.oid')}
   and exists (select from ${OF_OWNERS}) order by 1`;

/**
 * Views, and tables with rules: a rule writes with the rights of the relation's owner, a view without `security_invoker` too, a trigger
 * instead of a write with those of its function's. What writes through another one of them needs a right on that, which no one revokes.
 *
 * Whether a view can be updated says a function that locks it. Where DDL has one locked, or waits to, it is not asked.
 */
const RELATIONS = /* sql */ `
with recursive written (oid, owner, fenced, asked) as (
  select c.oid, c.relowner, true, false from pg_catalog.pg_class c where c.oid = any($1::oid[])
  union
  select c.oid, c.relowner, false, acting.asked
    from written t
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = t.oid
                               and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    join pg_catalog.pg_rewrite w on w.oid = d.objid and w.ev_enabled <> 'D'
    join pg_catalog.pg_class c on c.oid = w.ev_class and c.relkind in ('v', 'r', 'p')
   cross join lateral (
     select c.relowner as role, w.ev_type = '1' as asked
      where w.ev_type <> '1' or not exists (select from pg_catalog.pg_options_to_table(c.reloptions) s
                                             where case when s.option_name = 'security_invoker' then s.option_value::bool end)
     union all
     select p.proowner, false from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid
      where g.tgrelid = c.oid and g.tgtype & 64 <> 0 and g.tgenabled <> 'D' and p.prosecdef) acting
   where c.oid <> all($1::oid[])
     and case when t.fenced then ${keepsWriting('acting.role', 't.owner')}
              else pg_catalog.has_table_privilege(acting.role, t.oid, 'delete')
                or pg_catalog.has_any_column_privilege(acting.role, t.oid, 'insert, update') end
), given as materialized (
  select w.oid, bool_and(w.asked) as asked from written w
   where not w.fenced and exists (
     select from (select c.relacl from pg_catalog.pg_class c where c.oid = w.oid
                  union all
                  select a.attacl from pg_catalog.pg_attribute a where a.attrelid = w.oid and a.attacl is not null) of (acl)
      cross join lateral pg_catalog.aclexplode(of.acl) e
      where e.privilege_type in ('INSERT', 'UPDATE', 'DELETE') and e.grantee <> w.owner
        and e.grantee <> (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user))
   group by w.oid
), ddl as materialized (
  select exists (select from pg_catalog.pg_locks l
                  where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.relation in (select w.oid from written w)
                    and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())) as there
)
select n.nspname || '.' || c.relname as name
  from given g join pg_catalog.pg_class c on c.oid = g.oid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where case when not g.asked or (select ddl.there from ddl) then true
            -- UPDATE, INSERT, DELETE.
            else pg_catalog.pg_relation_is_updatable(g.oid, false) & 28 <> 0 end
 order by 1`;

/** What they do runs as the owner of the table whose rows they change. Those of partitions follow from their parent's. */
const CASCADES = /* sql */ `
with found as (
  select f.oid, f.conparentid as parent, f.conrelid as child, f.confrelid as other from pg_catalog.pg_constraint f
   where f.contype = 'f' and f.conrelid = any($1::oid[]) and f.confrelid <> all($1::oid[])
     and (f.confdeltype in ('c', 'n', 'd') or f.confupdtype in ('c', 'n', 'd'))
)
select distinct cn.nspname || '.' || c.relname || ' with ' || pn.nspname || '.' || p.relname as name
  from found f
  join pg_catalog.pg_class c on c.oid = f.child join pg_catalog.pg_namespace cn on cn.oid = c.relnamespace
  join pg_catalog.pg_class p on p.oid = f.other join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
 where not exists (select from found above where above.oid = f.parent)
 order by 1`;

/** What they write is not in the catalog. No right is needed for one that a trigger calls. */
const DEFINERS = /* sql */ `
select distinct n.nspname || '.' || p.proname as name
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
 where p.prosecdef and n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})
   and (p.proacl is null or p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype
     or exists (select from pg_catalog.aclexplode(p.proacl) e where e.privilege_type = 'EXECUTE' and e.grantee <> p.proowner))
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')
   and exists (select from ${OF_OWNERS} where ${keepsWriting('p.proowner', 'o.relowner')})
 order by 1`;

interface Way extends Pick<Passing, 'name' | 'what' | 'action'> {
  /** Names that follow `what`. */
  readonly sql: string;
}

const WAYS: readonly Way[] = [
  {
    name: 'owners',
    sql: OWNERS,
    what: 'roles that own the tables or are superusers keep writing',
    action: 'End their sessions before the cutover, or use the fence "trigger".',
  },
  {
    name: 'write-all',
    sql: WRITE_ALL,
    what: 'members of pg_write_all_data keep writing',
    action: 'Revoke it before the cutover and end their sessions, or use the fence "trigger".',
  },
  {
    name: 'views',
    sql: RELATIONS,
    what: 'views and rules write to the tables with the rights of their owners',
    action:
      'Revoke the rights to write on what is named before the cutover, or use the fence "trigger".',
  },
  {
    name: 'cascades',
    sql: CASCADES,
    what: 'foreign keys change rows of the tables when others change',
    action: 'Stop what writes to those others before the cutover, or use the fence "trigger".',
  },
  {
    name: 'definer-functions',
    sql: DEFINERS,
    what: 'functions with SECURITY DEFINER may write with the rights of roles that keep writing',
    action: 'Stop what calls those that write before the cutover, or use the fence "trigger".',
  },
];

/** The ways past revoked rights that there are, each with the first names. @param oids of the fenced tables. */
export async function unboundWriters(
  source: pg.ClientBase,
  oids: readonly number[],
): Promise<Passing[]> {
  const found: Passing[] = [];
  for (const { name, sql, what, action } of WAYS) {
    const { rows } = await source.query<{ name: string }>(sql, [oids]);
    if (rows.length === 0) continue;
    const names = rows.map((row) => row.name);
    found.push({ name, what: `${what}: ${listed(names, MOST_NAMED)}`, action, refuses: false });
  }
  return found;
}
