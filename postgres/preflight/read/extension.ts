/** What the target has or offers of the source's extensions. */
import type pg from 'pg';

export interface OfferedExtension {
  readonly name: string;
  /** Where it is installed; null when it is only available. */
  readonly installed: { readonly version: string; readonly schema: string } | null;
  /** What CREATE EXTENSION would install; null when the server's files are gone. */
  readonly available: string | null;
  /** Whether this role could create it. */
  readonly creatable: boolean;
}

export async function readOffered(
  client: pg.ClientBase,
  names: readonly string[],
): Promise<OfferedExtension[]> {
  const { rows } = await client.query<{
    name: string;
    version: string | null;
    schema: string | null;
    available: string | null;
    creatable: boolean;
  }>(
    /* sql */ `
    select wanted.name, e.extversion as version, n.nspname as schema, a.default_version as available,
           coalesce(not v.superuser or r.rolsuper
             or v.trusted and has_database_privilege(current_database(), 'create'), false) as creatable
      from unnest($1::text[]) as wanted (name)
      join pg_catalog.pg_roles r on r.rolname = current_user
      left join pg_catalog.pg_extension e on e.extname = wanted.name
      left join pg_catalog.pg_namespace n on n.oid = e.extnamespace
      left join pg_catalog.pg_available_extensions a on a.name = wanted.name
      left join pg_catalog.pg_available_extension_versions v
             on v.name = wanted.name and v.version = a.default_version
     order by 1`,
    [names],
  );
  return rows.map(({ name, version, schema, available, creatable }) => ({
    name,
    installed: version === null || schema === null ? null : { version, schema },
    available,
    creatable,
  }));
}
