/**
 * Detects open transactions that may add a table to the selection: if they commit after the last look at the source, the table's
 * rows exist only there, and no fence refuses them. Their new catalog rows are still invisible, but their locks and the rows that they replace are not.
 *
 * Creating a table locks it and its schema (AccessShareLock on the object); so does SET SCHEMA with the new schema. ATTACH
 * PARTITION and INHERIT lock the table and, with a weaker mode, its parent. A transaction that locks only the table, as TRUNCATE
 * and VACUUM FULL do, is not among them.
 *
 * RENAME replaces the row of the table's type, renaming a schema the schema's row, and removing a table from an extension its
 * membership row. Others see the old row, with the open transaction in its `xmax`.
 */
import type pg from 'pg';
import { SYSTEM_SCHEMAS } from './own-object.ts';

/** Includes transactions newer than the snapshot and subtransactions, which no snapshot lists; excludes aborted ones. */
const isOpen = (xmax: string) => {
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
) => `${name} !~ '^pg_' and ${name} not in (${SYSTEM_SCHEMAS})
     and (${schemas}::text[] is null or ${name} = any(${schemas}::text[]))`;

/**
 * SQL query with one row per lock that indicates such a transaction; fast for any number of tables.
 * @param oids SQL parameter: the selected tables.
 * @param schemas SQL parameter: the schemas that the selection's patterns can match, or null for any.
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
     -- By virtual transaction: a prepared transaction has no process.
     and exists (
       select from pg_catalog.pg_locks o
         left join pg_catalog.pg_namespace n on n.oid = o.objid and o.locktype = 'object'
        where o.virtualtransaction = l.virtualtransaction and o.granted
          -- Not ShareLock, which CREATE INDEX takes on the table while it locks the new index.
          and (o.locktype = 'relation' and o.relation = any(${oids}::oid[])
               and o.mode in ('ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            or o.locktype = 'object' and o.classid = 'pg_catalog.pg_namespace'::regclass and o.database = l.database
               -- Null: a schema that the transaction itself created is invisible to others.
               and (n.oid is null or ${reachable('n.nspname', schemas)})))`;
}

/** SQL query with one row per lock or replaced catalog row; it scans whole catalogs. Parameters as for {@link enteringLocks}. */
export function enteringTables(oids: string, schemas: string): string {
  return /* sql */ `
  ${enteringLocks(oids, schemas)}
  union all
  select from pg_catalog.pg_type t
    join pg_catalog.pg_class c on c.reltype = t.oid and c.relkind in ('r', 'p') and c.relpersistence <> 't'
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where ${isOpen('t.xmax')} and ${reachable('n.nspname', schemas)}
  union all
  select from pg_catalog.pg_namespace n where ${isOpen('n.xmax')} and n.nspname !~ '^pg_'
  union all
  select from pg_catalog.pg_depend d
   where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e' and ${isOpen('d.xmax')}`;
}

/**
 * Whether there may be such a transaction. To be called before the tables are read: one that ends in between is then seen by the read.
 * Parameters as for {@link enteringLocks}. */
export async function isEntered(
  source: pg.ClientBase,
  oids: readonly number[],
  schemas: readonly string[] | null,
): Promise<boolean> {
  const { rowCount } = await source.query(enteringTables('$1', '$2'), [oids, schemas]);
  return (rowCount ?? 0) > 0;
}
