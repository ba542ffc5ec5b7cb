/** How a database sorts and compares text. The catalog columns differ between versions. */
import type pg from 'pg';

export interface LocaleFacts {
  /** `libc`, `icu`, `builtin`. */
  readonly provider: string;
  readonly collate: string;
  readonly ctype: string;
  /** Locale of icu and builtin; null with libc. */
  readonly locale: string | null;
  /** Version of the library's collation when the database was created; null if the provider has none (C). */
  readonly version: string | null;
}

const PROVIDERS: Readonly<Record<string, string>> = { c: 'libc', i: 'icu', b: 'builtin' };

export async function readLocale(client: pg.ClientBase): Promise<LocaleFacts> {
  // As JSON, because a missing column would be an error: datlocprovider and datcollversion are new in 15, and 17 renamed
  // daticulocale to datlocale.
  const { rows } = await client.query<
    Omit<LocaleFacts, 'provider'> & { provider: string }
  >(/* sql */ `
    select coalesce(d ->> 'datlocprovider', 'c') as provider,
           d ->> 'datcollate' as collate, d ->> 'datctype' as ctype,
           coalesce(d ->> 'datlocale', d ->> 'daticulocale') as locale,
           d ->> 'datcollversion' as version
      from (select to_jsonb(x) as d from pg_catalog.pg_database x where datname = current_database()) y`);
  const [row] = rows;
  if (!row) throw new Error('the catalog lacks the database of this session');
  return { ...row, provider: PROVIDERS[row.provider] ?? row.provider };
}

/**
 * Names of system collations (`pg_catalog`) that columns, domains and indexes use; other collations are moved.
 * @param selected tables that are moved. @param unmoved views that are not.
 */
export async function readUsedCollations(
  client: pg.ClientBase,
  selected: readonly number[],
  unmoved: readonly number[],
): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
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
     where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry')
       and o.collnamespace = 'pg_catalog'::regnamespace
       and o.collname not in ('default', 'C', 'POSIX', 'ucs_basic')
     order by 1`,
    [selected, unmoved],
  );
  return rows.map(({ name }) => name);
}

/** The names for which this database has no collation. */
export async function readMissingCollations(
  client: pg.ClientBase,
  names: readonly string[],
): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    /* sql */ `
    select wanted.name from unnest($1::text[]) as wanted (name)
     where not exists (
       select from pg_catalog.pg_collation o
        where o.collname = wanted.name and o.collnamespace = 'pg_catalog'::regnamespace
          and o.collencoding in (-1, (select encoding from pg_catalog.pg_database
                                       where datname = current_database())))
     order by 1`,
    [names],
  );
  return rows.map(({ name }) => name);
}
