/** A column's collation, the SQL that reads it, and the difference that affects equality. */

export interface Collation {
  /** Schema-qualified, except for collations in pg_catalog. */
  readonly name: string;
  /** `collprovider`: b builtin, c libc, i ICU. */
  readonly provider: string;
  readonly locale: string;
  readonly deterministic: boolean;
}

/**
 * SQL: row `l` of pg_collation as JSON; null if the column has no collation or the database's default. Versions 14, 15 and 17
 * each name the locale column differently.
 */
export const COLLATION = /* sql */ `
  case when l.oid is not null then json_build_object(
    'name', case l.collnamespace when 'pg_catalog'::pg_catalog.regnamespace then l.collname::text
            else pg_catalog.format('%I.%I', l.collnamespace::pg_catalog.regnamespace, l.collname) end,
    'provider', l.collprovider, 'deterministic', l.collisdeterministic,
    'locale', coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collcollate, '')) end`;

/** Joins that row for column `a`. The database's default collation is not compared; it is always deterministic. */
export const JOIN_COLLATION = /* sql */ `
  left join pg_catalog.pg_collation l on l.oid = a.attcollation and l.collprovider <> 'd'`;

/** Null or unset: the column has none, or the database's default. */
export type MaybeCollation = Collation | null | undefined;

/** Reports collations under which values may be equal on one side and different on the other; otherwise null. */
export function compareDeterminism(source: MaybeCollation, target: MaybeCollation): string | null {
  const [here, there] = [source?.deterministic ?? true, target?.deterministic ?? true];
  if (here === there) return null;
  const word = (deterministic: boolean) =>
    deterministic ? 'a deterministic' : 'a nondeterministic';
  return `has ${word(here)} collation (${nameOf(source)}) on the source, ${word(there)} one (${nameOf(target)}) on the target`;
}

function nameOf(collation: MaybeCollation): string {
  return collation?.name ?? 'default';
}
