/**
 * Compares collations of columns. A nondeterministic collation affects equality, and so unique constraints and lookups; all
 * others affect only order. Pure.
 */
import type { Relation } from './relation.ts';
import { destinationOf } from './row-destination.ts';
import { keyOfName } from './table-name.ts';
import type { Difference } from './column-difference.ts';
import type { Collation, MaybeCollation } from './collation.ts';

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

function isAlike(one: MaybeCollation, other: MaybeCollation): boolean {
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

function describe(collation: MaybeCollation): string {
  if (!collation) return 'default';
  const { name, provider, locale, deterministic } = collation;
  const words = [PROVIDERS[provider] ?? provider, locale, deterministic ? '' : 'nondeterministic'];
  return `${name} (${words.filter((word) => word !== '').join(', ')})`;
}

const PROVIDERS: Readonly<Record<string, string>> = { b: 'builtin', c: 'libc', i: 'icu' };
