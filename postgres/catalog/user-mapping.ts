/** User mappings of foreign servers. pg_dump omits options (passwords) that the role may not read. */
import type pg from 'pg';

/**
 * Mappings whose options the role may not read, as `USER MAPPING for app on server far`. Repeats the conditions of the view
 * pg_user_mappings, which shows null both for hidden options and for none.
 */
export async function readHiddenMappings(source: pg.ClientBase): Promise<string[]> {
  const { rows } = await source.query<{ object: string }>(/* sql */ `
    select format('USER MAPPING for %s on server %I', case m.umuser when 0 then 'public' else quote_ident(m.usename) end, m.srvname) as object
      from pg_catalog.pg_user_mappings m
      join pg_catalog.pg_foreign_server s on s.oid = m.srvid
     where m.umoptions is null
       and not (m.umuser <> 0 and m.usename = current_user
                  and (pg_has_role(s.srvowner, 'usage') or has_server_privilege(s.oid, 'usage'))
                or m.umuser = 0 and pg_has_role(s.srvowner, 'usage')
                or (select rolsuper from pg_catalog.pg_roles where rolname = current_user))
     order by 1`);
  return rows.map(({ object }) => object);
}
