/**
 * Unselected tables and what is not moved with them. The archive filter (archive/left-out.ts) derives the same from a dump, but
 * the findings that need this are also due when there can be no dump: without pg_dump, or without the right to read a table.
 * tests/pg/schema/schema-selection.test.ts compares both.
 */
import type pg from 'pg';
import { shared, type SourceReading } from '../reading.ts';
import { selectedOids } from './selected.ts';
import { ofExtension, USERS } from './user-object.ts';

/** Oids of tables, views and sequences. */
export const unmoved = shared(async (of: SourceReading) =>
  readGone(of.client, await selectedOids(of)),
);

/**
 * Unselected tables, views that read them, and sequences that they own: copySchema does not create these (archive/archive-filter.ts). A
 * sequence used by a selected table's default is still created.
 */
export async function readGone(
  client: pg.ClientBase,
  selected: readonly number[],
): Promise<number[]> {
  const { rows } = await client.query<{ oid: number }>(
    /* sql */ `
    with recursive gone (oid) as (
      select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p', 'f') and c.oid not in (select unnest($1::oid[]))
         and ${USERS} and not ${ofExtension('pg_class', 'c.oid')}
      union
      select v.oid from gone
        join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = gone.oid
         and d.classid = 'pg_catalog.pg_rewrite'::regclass
        join pg_catalog.pg_rewrite r on r.oid = d.objid
        join pg_catalog.pg_class v on v.oid = r.ev_class and v.relkind in ('v', 'm')
    ), owned (oid) as materialized (
      select s.oid from gone
        join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = gone.oid
         and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
        join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    ), used (oid) as materialized (
      -- Read once: a lookup per sequence takes minutes on a catalog without statistics.
      select u.refobjid from pg_catalog.pg_depend u join pg_catalog.pg_attrdef f on f.oid = u.objid
       where u.classid = 'pg_catalog.pg_attrdef'::regclass and u.refclassid = 'pg_catalog.pg_class'::regclass
         and f.adrelid in (select unnest($1::oid[]))
    )
    select oid::int8::float8 as oid from gone
    union
    select oid::int8::float8 from owned where oid not in (select oid from used)`,
    [selected],
  );
  return rows.map(({ oid }) => oid);
}
