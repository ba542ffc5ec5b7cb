/**
 * Compares collations of columns. A nondeterministic collation affects equality, and so unique constraints and lookups; all
 * others affect only order. Pure, except for the SQL fragments.
 */
import type { Relation } from './relation.ts';
import { destinationOf } from './root.ts';
import { keyOfName } from './table-name.ts';
import type { Difference } from './column-difference.ts';

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

/** Reports collations under which values may be equal on one side and different on the other; otherwise null. */
export function compareDeterminism(
  source: Collation | null | undefined,
  target: Collation | null | undefined,
): string | null {
  const [here, there] = [source?.deterministic ?? true, target?.deterministic ?? true];
  if (here === there) return null;
  const word = (deterministic: boolean) =>
    deterministic ? 'a deterministic' : 'a nondeterministic';
  return `has ${word(here)} collation (${nameOf(source)}) on the source, ${word(there)} one (${nameOf(target)}) on the target`;
}

/** Columns of these tables whose collations may order text differently. Collation versions are not compared. */
export function compareCollations(
  source: readonly Pick<Relation, 'schema' | 'name' | 'columns' | 'viaRoot'>[],
  target: readonly Pick<Relation, 'schema' | 'name' | 'columns'>[],
): Difference[] {
  const there = new Map(target.map((one) => [keyOfName(one), one]));
  return source.flatMap((relation) => {
    const { schema, name: table } = destinationOf(relation);
    const columns = there.get(keyOfName({ schema, name: table }))?.columns ?? [];
    const known = new Map(columns.map((column) => [column.name, column]));
    return relation.columns.flatMap(({ name: column, collation }) => {
      const other = known.get(column);
      if (!other || isAlike(collation, other.collation)) return [];
      const what = `has collation ${describe(collation)} on the source, ${describe(other.collation)} on the target`;
      return [{ schema, table, column, what }];
    });
  });
}

type Maybe = Collation | null | undefined;

function isAlike(one: Maybe, other: Maybe): boolean {
  if (!one || !other) return !one && !other;
  if (one.name !== other.name || one.deterministic !== other.deterministic) return false;
  // Built-in collations are identified by name: ucs_basic, for example, changes its provider between versions.
  if (!one.name.includes('.')) return true;
  return one.provider === other.provider && isSameLocale(one, other);
}

/** Servers up to 15 store ICU's old spelling (`@colStrength=secondary`), servers from 16 on a language tag. */
function isSameLocale(one: Collation, other: Collation): boolean {
  if (one.provider === 'i' && (one.locale.includes('@') || other.locale.includes('@'))) return true;
  const plain = ({ locale }: Collation) => locale.toLowerCase().replaceAll(/[-_]/g, '');
  return plain(one) === plain(other);
}

function nameOf(collation: Maybe): string {
  return collation?.name ?? 'default';
}

function describe(collation: Maybe): string {
  if (!collation) return 'default';
  const { name, provider, locale, deterministic } = collation;
  const words = [PROVIDERS[provider] ?? provider, locale, deterministic ? '' : 'nondeterministic'];
  return `${name} (${words.filter((word) => word !== '').join(', ')})`;
}

const PROVIDERS: Readonly<Record<string, string>> = { b: 'builtin', c: 'libc', i: 'icu' };
