/** Limitations of tables that the operator accepts (`ignore` in the input); patterns as in `tables.include`. Pure. */
import type { Relation } from './relation.ts';
import { compileSelection } from './selection.ts';

export interface IgnorePatterns {
  /** Tables whose updates and deletes cannot be sent: their inserts are applied; the first update or delete stops the stream. */
  readonly missingIdentity: readonly string[];
  readonly unlogged: readonly string[];
}

export type Ignored = Readonly<Record<keyof IgnorePatterns, (relation: Named) => boolean>>;

type Named = Pick<
  Relation,
  'oid' | 'schema' | 'name' | 'parentOid' | 'kind' | 'persistence' | 'viaRoot'
>;

export const NOTHING_IGNORED: IgnorePatterns = { missingIdentity: [], unlogged: [] };

/**
 * Which tables the patterns match. A partition or child follows its parent if the parent is selected. For a tree that goes
 * through its root, unlogged partitions are accepted only if all partitions are unlogged and matched.
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
  const unlogged = names(patterns.unlogged);
  // Their rows share one table on the target, which is either replicated and counted or left as copied.
  const mixed = new Set(
    relations.flatMap((one) =>
      one.viaRoot && one.kind === 'r' && !(one.persistence === 'u' && unlogged(one))
        ? [one.viaRoot.oid]
        : [],
    ),
  );
  return {
    missingIdentity: names(patterns.missingIdentity),
    unlogged: (one) => unlogged(one) && !(one.viaRoot && mixed.has(one.viaRoot.oid)),
  };
}
