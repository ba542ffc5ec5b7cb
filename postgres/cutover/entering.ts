/**
 * Transactions that are still open and may bring a table into the selection: with their commit, behind the slot's end, its rows would be
 * on the source only. No catalog shows what they do; their locks do.
 *
 * Who makes a table locks it, and the schema that it is made in (AccessShareLock, as an object); so does SET SCHEMA with the new schema.
 * ATTACH PARTITION and INHERIT lock the table and, more weakly, its parent. A transaction that locks other tables alone, as TRUNCATE and
 * VACUUM FULL do, is none of them. Nor can one be told that renames a table, or a schema, into the selection.
 */

/**
 * SQL query with a row for each such transaction.
 * @param oids parameter: the selected tables. @param schemas parameter: those that the
 * patterns can reach, or null for any.
 */
export function enteringTables(oids: string, schemas: string): string {
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
          and (o.locktype = 'relation' and o.relation = any(${oids}::oid[])
               and o.mode in ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                              'AccessExclusiveLock')
            or o.locktype = 'object' and o.classid = 'pg_catalog.pg_namespace'::regclass and o.database = l.database
               -- A schema that the transaction has made itself is seen by nobody else.
               and (n.oid is null or n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry')
                                     and (${schemas}::text[] is null or n.nspname = any(${schemas}::text[])))))`;
}
