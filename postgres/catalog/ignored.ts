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

type Named = Pick<
  Relation,
  'oid' | 'schema' | 'name' | 'parentOid' | 'kind' | 'persistence' | 'viaRoot'
>;

/** Nothing is accepted. */
export const NOTHING_IGNORED: IgnorePatterns = { missingIdentity: [], unlogged: [] };

/**
 * Which tables the patterns name: a partition or child goes with its parent, as far as that is selected. Of a root that rows go
 * through on the target, unlogged partitions are accepted only if all of its partitions are unlogged and named.
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
  const unlogged = names(patterns.unlogged);
  // Their rows are in one table of the target, which is either followed and counted, or as of its copy.
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
