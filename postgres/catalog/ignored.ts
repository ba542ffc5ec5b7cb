/** Limitations of single tables that the operator accepts (`ignore` in the input); patterns as in `tables.include`. Pure. */
import type { Relation } from './relation.ts';
import { compileSelection } from './selection.ts';

export interface IgnorePatterns {
  /** Tables whose updates and deletes cannot be sent: their inserts are followed, and the first of the others stops the stream. */
  readonly missingIdentity: readonly string[];
  /** Unlogged tables: they are copied once. */
  readonly unlogged: readonly string[];
}

export type Ignored = Readonly<Record<keyof IgnorePatterns, (relation: Named) => boolean>>;

type Named = Pick<Relation, 'oid' | 'schema' | 'name' | 'parentOid'>;

/** Nothing is accepted. */
export const NOTHING_IGNORED: IgnorePatterns = { missingIdentity: [], unlogged: [] };

/**
 * Which tables the patterns name: a partition or child goes with its parent, as far as that is selected.
 * @param relations the selected tables.
 */
export function ignoredAmong(relations: readonly Named[], patterns: IgnorePatterns): Ignored {
  const byOid = new Map(relations.map((relation) => [relation.oid, relation]));
  const names = (list: readonly string[]) => {
    if (list.length === 0) return () => false;
    const matcher = compileSelection({ include: list, exclude: [] });
    const named = (relation: Named): boolean => {
      if (matcher.includes(relation)) return true;
      const parent = relation.parentOid === null ? undefined : byOid.get(relation.parentOid);
      return parent !== undefined && named(parent);
    };
    return named;
  };
  return {
    missingIdentity: names(patterns.missingIdentity),
    unlogged: names(patterns.unlogged),
  };
}
