/** What the queries for objects beside relations have in common: which are the users', and their names. */
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';

/** The server's own objects have lower numbers (FirstNormalObjectId). */
export const FIRST_USER_OID = 16_384;

/** How DDL calls what `pg_identify_object` calls `i.type`. */
export const KEYWORD = /* sql */ `
  case i.type when 'composite type' then 'type' when 'statistics object' then 'statistics' when 'foreign-data wrapper' then 'foreign data wrapper'
       when 'default acl' then 'default privileges' else i.type end`;

/** For facts that say that an object exists; a property is not removed with its object. */
const DROP = /* sql */ `case when w.what = '' then pg_catalog.format('drop %s %s', ${KEYWORD}, i.identity) end`;

/**
 * Objects of users: not the server's, an extension's, or walferry's.
 * @param rows a query with `cls`, `oid`, `namespace`, `tag`, `what`, `text` and `make`.
 * @param make expression for the statement, if it needs the object's name (`i`).
 * @param remove the same for the statement that takes the fact away.
 */
export const owned = (rows: string, make = 'w.make', remove = DROP): string => /* sql */ `
select i.type as kind, i.identity, n.nspname as schema, w.tag, w.what, w.text, ${make} as make, ${remove} as remove, w.cls::oid::text as cls, w.oid::text as oid
  from (${rows}) w (cls, oid, namespace, tag, what, text, make)
  left join pg_catalog.pg_namespace n on n.oid = w.namespace
 cross join lateral pg_catalog.pg_identify_object(w.cls, w.oid, 0) i
 where (n.oid is null and w.oid >= ${FIRST_USER_OID} or n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS}))
   and not exists (select from pg_catalog.pg_depend e where e.classid = w.cls and e.objid = w.oid and e.deptype = 'e')`;
