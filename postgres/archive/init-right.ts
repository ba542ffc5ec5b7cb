/**
 * Privileges of dropped roles. `pg_init_privs` keeps the OIDs of roles that had privileges when an extension was created. Before
 * PostgreSQL 17, DROP OWNED leaves them there; pg_dump then writes a REVOKE from a role named by its OID, which does not exist.
 */
import type pg from 'pg';
import type { ArchiveEntry } from './archive.ts';

/** Dropped roles as pg_dump prints them: their OIDs. OIDs that are also the name of a role of the source are excluded. */
export async function readDroppedRoles(source: pg.ClientBase): Promise<ReadonlySet<string>> {
  const { rows } = await source.query<{ name: string }>(/* sql */ `
    select distinct x.role::text as name
      from pg_catalog.pg_init_privs i
     cross join lateral pg_catalog.aclexplode(i.initprivs) a
     cross join lateral (values (a.grantee), (a.grantor)) x (role)
     where x.role <> 0 and not exists (select from pg_catalog.pg_roles r where r.oid = x.role or r.rolname = x.role::text)`);
  return new Set(rows.map(({ name }) => name));
}

/** The entries, without statements that revoke privileges from these roles. Pure. */
export function withoutDroppedRoles(
  entries: readonly ArchiveEntry[],
  dropped: ReadonlySet<string>,
): readonly ArchiveEntry[] {
  if (dropped.size === 0) return entries;
  return entries.flatMap((entry) => {
    if (entry.kind !== 'ACL') return [entry];
    const kept = entry.sql.split('\n').filter((line) => !dropped.has(roleOf(line) ?? ''));
    if (kept.length === 0) return [];
    return [{ ...entry, sql: kept.join('\n') }];
  });
}

/** pg_dump writes one statement per line, and quotes names without letters. */
function roleOf(line: string): string | undefined {
  return /^(?:REVOKE|GRANT) .* (?:FROM|TO) "(\d+)"(?: WITH GRANT OPTION)?;$/.exec(line)?.[1];
}
