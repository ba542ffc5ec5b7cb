/**
 * Privileges of dropped roles. `pg_init_privs` keeps the OIDs of roles that had privileges when an extension was created, and before
 * PostgreSQL 17 `drop owned` leaves them there; pg_dump then revokes from a role named by its OID, which does not exist.
 */
import type pg from 'pg';
import type { ArchiveEntry } from './archive.ts';

/** Names as pg_dump prints them, which are numbers; none that a role of the source has for its name. */
export async function readDroppedRoles(source: pg.ClientBase): Promise<ReadonlySet<string>> {
  const { rows } = await source.query<{ name: string }>(/* sql */ `
    select distinct x.role::text as name
      from pg_catalog.pg_init_privs i
     cross join lateral pg_catalog.aclexplode(i.initprivs) a
     cross join lateral (values (a.grantee), (a.grantor)) x (role)
     where x.role <> 0 and not exists (select from pg_catalog.pg_roles r where r.oid = x.role or r.rolname = x.role::text)`);
  return new Set(rows.map(({ name }) => name));
}

/** The entries without statements that revoke privileges from such roles. Pure. */
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

/** One statement stands on one line, and names that hold no letters are quoted. */
function roleOf(line: string): string | undefined {
  return /^(?:REVOKE|GRANT) .* (?:FROM|TO) "(\d+)"(?: WITH GRANT OPTION)?;$/.exec(line)?.[1];
}
