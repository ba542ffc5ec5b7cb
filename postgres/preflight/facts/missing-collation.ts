/** Collations that the source uses, and those of them that the target lacks. */
import { ofSource, shared, type SourceReading, type TargetReading } from '../reading.ts';
import { selectedOids } from './selected.ts';
import { unmoved } from './unmoved.ts';
import { USERS } from './user-object.ts';

/** Names of system collations (`pg_catalog`) that columns, domains and indexes use; other collations are moved. */
export const collations = shared(async (of: SourceReading): Promise<string[]> => {
  const { rows } = await of.client.query<{ name: string }>(
    /* sql */ `
    with used (oid, schema) as (
      select a.attcollation, c.relnamespace from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
       where a.attnum > 0 and not a.attisdropped
         and (c.oid = any($1::oid[]) or c.relkind in ('v', 'm', 'c') and c.oid not in (select unnest($2::oid[])))
      union select unnest(i.indcollation::oid[]), c.relnamespace from pg_catalog.pg_index i
        join pg_catalog.pg_class c on c.oid = i.indrelid
       where c.oid = any($1::oid[]) or c.relkind = 'm' and c.oid not in (select unnest($2::oid[]))
      union select t.typcollation, t.typnamespace from pg_catalog.pg_type t where t.typtype = 'd'
    )
    select distinct o.collname as name
      from used join pg_catalog.pg_namespace n on n.oid = used.schema
      join pg_catalog.pg_collation o on o.oid = used.oid
     where ${USERS}
       and o.collnamespace = 'pg_catalog'::regnamespace
       and o.collname not in ('default', 'C', 'POSIX', 'ucs_basic')
     order by 1`,
    [await selectedOids(of), await unmoved(of)],
  );
  return rows.map(({ name }) => name);
});

export const missingCollations = shared(async (of: TargetReading): Promise<string[]> => {
  const { rows } = await of.client.query<{ name: string }>(
    /* sql */ `
    select wanted.name from unnest($1::text[]) as wanted (name)
     where not exists (
       select from pg_catalog.pg_collation o
        where o.collname = wanted.name and o.collnamespace = 'pg_catalog'::regnamespace
          and o.collencoding in (-1, (select encoding from pg_catalog.pg_database
                                       where datname = current_database())))
     order by 1`,
    [await ofSource(of, collations, [])],
  );
  return rows.map(({ name }) => name);
});
