/**
 * Which of the objects that a migration leaves out must be reported by name: those that a reader of the input would expect on
 * the target. That an excluded table's own indexes and triggers are missing is obvious; a view, a function or another table's
 * foreign key that is left out with it must be named.
 */
import { describeEntry, type ArchiveEntry } from './archive.ts';

const RELATIONS = new Set(['TABLE', 'FOREIGN TABLE', 'VIEW', 'MATERIALIZED VIEW']);
/** They belong to an object that is left out itself, or state where a sequence or an index belongs. */
const NEVER_NEWS = new Set([
  'COMMENT',
  'ACL',
  'DEFAULT ACL',
  'SEQUENCE',
  'SEQUENCE OWNED BY',
  'INDEX ATTACH',
]);
/** Parts of a relation; the first dependency that matches their name is that relation. */
export const PARTS: ReadonlySet<string> = new Set([
  'CHECK CONSTRAINT',
  'CONSTRAINT',
  'DEFAULT',
  'FK CONSTRAINT',
  'INDEX',
  'POLICY',
  'ROW SECURITY',
  'RULE',
  'STATISTICS',
  'TABLE ATTACH',
  'TRIGGER',
]);

/**
 * Names of the entries that are left out because of others.
 * @param out ids of all entries that are left out.
 * @param unwanted those that the selection or the settings exclude directly.
 */
export function newsOf(
  entries: readonly ArchiveEntry[],
  out: ReadonlySet<number>,
  unwanted: ReadonlySet<number>,
): string[] {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  return entries
    .filter((entry) => {
      if (!out.has(entry.id) || unwanted.has(entry.id)) return false;
      if (NEVER_NEWS.has(entry.kind) || entry.section === 'other') return false;
      const own = PARTS.has(entry.kind) ? ownRelation(entry, byId) : undefined;
      return own === undefined || !out.has(own.id);
    })
    .map(describeEntry);
}

/** The table or view that an entry is part of; undefined when the archive does not show it. */
export function ownRelation(
  entry: ArchiveEntry,
  byId: ReadonlyMap<number, ArchiveEntry>,
): ArchiveEntry | undefined {
  // An index lists its table once per column.
  const found = [...new Set(entry.dependencies)]
    .map((id) => byId.get(id))
    .filter((one) => one !== undefined && RELATIONS.has(one.kind));
  const tag = `${entry.schema ?? ''}.${entry.name} `;
  const named = found
    .filter((one) => tag.startsWith(`${one?.schema ?? ''}.${one?.name ?? ''} `))
    .sort((a, b) => (b?.name.length ?? 0) - (a?.name.length ?? 0));
  return named[0] ?? (found.length === 1 ? found[0] : undefined);
}

/** Everything that a migration does not move, by kind and name, grouped by reason. */
export interface LeftBehind {
  /** See {@link newsOf}. */
  readonly excluded: readonly string[];
  /** For the other lists see uncarried.ts. */
  readonly never: readonly string[];
  readonly accepted: readonly string[];
  readonly unselected: readonly string[];
  /** Check constraints that are added at the cutover (deferred-check.ts). Unset: none. */
  readonly unvalidated?: readonly string[];
}
