/**
 * Collations of columns on both sides. A nondeterministic one decides what is equal: what a unique constraint refuses and what a
 * comparison finds. All others decide only order. Pure, but for the SQL that reads them.
 */
import type { Relation } from './relation.ts';
import { destinationOf } from './root.ts';
import { keyOfName } from './table-name.ts';
import type { Difference } from './drift.ts';

export interface Collation {
  /** Qualified; the system's without a schema. */
  readonly name: string;
  /** `collprovider`: b builtin, c libc, i ICU. */
  readonly provider: string;
  readonly locale: string;
  readonly deterministic: boolean;
}

/**
 * Of the row `l` of pg_collation as JSON, which is null where the column has none or the database's own. The locale's column
 * has another name in each of 14, 15 and 17.
 */
export const COLLATION = /* sql */ `
  case when l.oid is not null then json_build_object(
    'name', case l.collnamespace when 'pg_catalog'::pg_catalog.regnamespace then l.collname::text
            else pg_catalog.format('%I.%I', l.collnamespace::pg_catalog.regnamespace, l.collname) end,
    'provider', l.collprovider, 'deterministic', l.collisdeterministic,
    'locale', coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collcollate, '')) end`;

/** Joins that row for column `a`; the database's own collation is the target's affair, and always deterministic. */
export const JOIN_COLLATION = /* sql */ `
  left join pg_catalog.pg_collation l on l.oid = a.attcollation and l.collprovider <> 'd'`;

/** Whether values that are equal on one side differ on the other. */
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

/** Columns of these tables whose collations order text in another way; versions of a collation do not count. */
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
  // The system's own are the same by their name: ucs_basic, say, changes its provider between two versions.
  if (!one.name.includes('.')) return true;
  return one.provider === other.provider && isSameLocale(one, other);
}

/** Up to 15 a server keeps ICU's old spelling (`@colStrength=secondary`), from 16 on it writes it as a language tag. */
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
