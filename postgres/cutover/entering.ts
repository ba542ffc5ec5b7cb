/**
 * Transactions that are still open and may bring a table into the selection: with their commit, behind the slot's end, its rows would be
 * on the source only. No catalog shows what they do yet, but their locks and the rows that they replace in the catalogs do.
 *
 * Who makes a table locks it, and the schema that it is made in (AccessShareLock, as an object); so does SET SCHEMA with the new schema.
 * ATTACH PARTITION and INHERIT lock the table and, more weakly, its parent. A transaction that locks other tables alone, as TRUNCATE and
 * VACUUM FULL do, is none of them.
 *
 * RENAME replaces the row of the table's type, for a schema its own, and a table that leaves an extension the row that makes it a member.
 * Others see the old row, and the open transaction in its `xmax`.
 */
import type pg from 'pg';

/** Also one above the snapshot, whose id lies ahead of it, and a subtransaction, which is in no snapshot; no rolled back one. */
const open = (xmax: string) => {
  const next = `pg_snapshot_xmax(pg_current_snapshot())::text::int8`;
  const behind = `((${next} - ${xmax}::text::int8) & 4294967295)`;
  return /* sql */ `
    case when ${xmax} = '0'::xid or age(${xmax}) > age(pg_snapshot_xmin(pg_current_snapshot())::xid) then false
         when ${behind} >= 2147483648 then true
         else pg_xact_status((${next} - ${behind})::text::xid8) = 'in progress' end`;
};

const reachable = (
  name: string,
  schemas: string,
) => `${name} !~ '^pg_' and ${name} not in ('information_schema', 'walferry')
     and (${schemas}::text[] is null or ${name} = any(${schemas}::text[]))`;

/**
 * SQL query with a row for each lock that is such a sign; quick, however many tables there are.
 * @param oids parameter: the selected tables.
 * @param schemas parameter: those that the selection's patterns can reach, or null for any.
 */
export function enteringLocks(oids: string, schemas: string): string {
  return /* sql */ `
  select from pg_catalog.pg_locks l
    left join pg_catalog.pg_class c on c.oid = l.relation
   where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.granted
     and l.pid is distinct from pg_backend_pid()
     and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
     and (c.oid is null or c.relkind in ('r', 'p') and c.relpersistence <> 't')
     and l.relation <> all (${oids}::oid[])
     -- A prepared transaction has no process, but a virtual one.
     and exists (
       select from pg_catalog.pg_locks o
         left join pg_catalog.pg_namespace n on n.oid = o.objid and o.locktype = 'object'
        where o.virtualtransaction = l.virtualtransaction and o.granted
          -- Not ShareLock: with that an index is built, which others cannot see either.
          and (o.locktype = 'relation' and o.relation = any(${oids}::oid[])
               and o.mode in ('ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            or o.locktype = 'object' and o.classid = 'pg_catalog.pg_namespace'::regclass and o.database = l.database
               -- No one else sees a schema that the transaction has made itself.
               and (n.oid is null or ${reachable('n.nspname', schemas)})))`;
}

/** SQL query with a row for each sign; it reads the rows of all tables in the catalogs. Parameters as of {@link enteringLocks}. */
export function enteringTables(oids: string, schemas: string): string {
  return /* sql */ `
  ${enteringLocks(oids, schemas)}
  union all
  select from pg_catalog.pg_type t
    join pg_catalog.pg_class c on c.reltype = t.oid and c.relkind in ('r', 'p') and c.relpersistence <> 't'
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where ${open('t.xmax')} and ${reachable('n.nspname', schemas)}
  union all
  select from pg_catalog.pg_namespace n where ${open('n.xmax')} and n.nspname !~ '^pg_'
  union all
  select from pg_catalog.pg_depend d
   where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e' and ${open('d.xmax')}`;
}

/** Whether there is a sign of such a transaction. Parameters as of {@link enteringLocks}. */
export async function isEntered(
  source: pg.ClientBase,
  oids: readonly number[],
  schemas: readonly string[] | null,
): Promise<boolean> {
  const { rowCount } = await source.query(enteringTables('$1', '$2'), [oids, schemas]);
  return (rowCount ?? 0) > 0;
}
