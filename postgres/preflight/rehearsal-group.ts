/** Parts of a schema that fit into one transaction, each with all its dependencies, so that it can be tried alone. Pure. */
import type { PlannedEntry } from '../schema/filter.ts';

/** Kinds that are numerous and rarely refused: in a large schema they come last, as time permits. */
const PLAIN = new Set([
  'TABLE',
  'TABLE ATTACH',
  'SEQUENCE',
  'SEQUENCE OWNED BY',
  'DEFAULT',
  'INDEX',
  'INDEX ATTACH',
  'CONSTRAINT',
  'FK CONSTRAINT',
]);

/**
 * The entries in groups, each in the archive's order. One group where all fit into it.
 * @param most entries whose locks fit into one transaction; a single entry may need more.
 */
export function groupsOf(entries: readonly PlannedEntry[], most: number): PlannedEntry[][] {
  if (entries.length <= most) return entries.length === 0 ? [] : [[...entries]];
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const rank = ({ kind }: PlannedEntry) => Number(PLAIN.has(kind));
  const groups: Set<number>[] = [];
  const seen = new Set<number>();
  let group = new Set<number>();
  for (const entry of [...entries].sort((a, b) => rank(a) - rank(b))) {
    if (seen.has(entry.id)) continue;
    const needs = closure(entry, byId, group);
    if (group.size > 0 && group.size + needs.size > most) {
      groups.push(group);
      group = closure(entry, byId, new Set());
      for (const id of group) seen.add(id);
    }
    for (const id of needs) {
      group.add(id);
      seen.add(id);
    }
  }
  groups.push(group);
  return groups.map((ids) => entries.filter(({ id }) => ids.has(id)));
}

/** The entry and those of its dependencies that are not in the group yet. */
function closure(
  entry: PlannedEntry,
  byId: ReadonlyMap<number, PlannedEntry>,
  group: ReadonlySet<number>,
): Set<number> {
  const found = new Set<number>();
  const open = [entry];
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    if (found.has(one.id) || group.has(one.id)) continue;
    found.add(one.id);
    open.push(...one.dependencies.flatMap((id) => byId.get(id) ?? []));
  }
  return found;
}
