/**
 * Rights of roles that were dropped. `pg_init_privs` keeps the numbers of roles that had rights when an extension was made, and
 * before PostgreSQL 17 `drop owned` leaves them; pg_dump then revokes from a role called by its number, which exists nowhere.
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

/** The entries without statements that take rights from such roles: what has no right there needs none taken away. Pure. */
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
