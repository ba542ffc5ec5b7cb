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
  const byId = needing(entries);
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

type Entry = PlannedEntry & { readonly needs: readonly number[] };

/**
 * The entries with what each needs: its dependencies, and for the attachment of an index the one of its table, which pg_dump does not
 * list because its own order says it (55000 otherwise).
 */
function needing(entries: readonly PlannedEntry[]): ReadonlyMap<number, Entry> {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const attachments = new Map<string, number>();
  for (const { id, kind, dependencies } of entries) {
    if (kind !== 'TABLE ATTACH') continue;
    for (const one of dependencies) {
      for (const other of dependencies) attachments.set(`${one} ${other}`, id);
    }
  }
  const attached = ({ kind, dependencies }: PlannedEntry): number[] => {
    if (kind !== 'INDEX ATTACH') return [];
    const below = [...new Set(dependencies.flatMap((id) => byId.get(id)?.dependencies ?? []))];
    return below.flatMap((one) =>
      below.flatMap((other) => (one < other ? (attachments.get(`${one} ${other}`) ?? []) : [])),
    );
  };
  return new Map(
    entries.map((entry) => [
      entry.id,
      { ...entry, needs: [...entry.dependencies, ...attached(entry)] },
    ]),
  );
}

/** The entry and those of its dependencies that are not in the group yet. */
function closure(
  entry: PlannedEntry,
  byId: ReadonlyMap<number, Entry>,
  group: ReadonlySet<number>,
): Set<number> {
  const found = new Set<number>();
  const open = [entry.id];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const one = byId.get(id);
    if (one === undefined || found.has(id) || group.has(id)) continue;
    found.add(id);
    open.push(...one.needs);
  }
  return found;
}
