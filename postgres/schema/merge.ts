/**
 * One list of entries from several archives: everything but the leaves first, then the leaves in groups (leaves.ts). Pure. Entries
 * are numbered consecutively across archives, so that a number identifies its archive, and ordered as one script would run them.
 */
import type { ArchiveEntry } from './archive.ts';
import type { Tie } from './leaves.ts';

/** First number of each archive's entries in the common list, less one; ascending. */
export function offsetsOf(archives: readonly (readonly ArchiveEntry[])[]): number[] {
  let next = 0;
  return archives.map((entries) => {
    const offset = next;
    for (const { id } of entries) next = Math.max(next, offset + id);
    // Entries also depend on numbers that the archive does not list.
    for (const { dependencies } of entries) {
      for (const id of dependencies) next = Math.max(next, offset + id);
    }
    return offset;
  });
}

/** Sections, then grants, then event triggers, which would fire for all of it: pg_restore's own order. */
function rank(
  { kind, section, dependencies }: ArchiveEntry,
  triggers: ReadonlySet<number>,
): number {
  if (kind === 'EVENT TRIGGER' || dependencies.some((id) => triggers.has(id))) return 3;
  if (kind === 'ACL' || kind === 'DEFAULT ACL') return 2;
  return section === 'post' ? 1 : 0;
}

/**
 * The same entries, each behind those that it depends on: a section is no order where a table's default calls a function that needs
 * a primary key. In a circle, which pg_dump has broken up already, the order stays as it is.
 */
function behindDependencies(entries: readonly ArchiveEntry[]): ArchiveEntry[] {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const seen = new Set<number>();
  const ordered: ArchiveEntry[] = [];
  // A stack of its own: a chain of views can be longer than the call stack is deep.
  for (const first of entries) {
    const open = [{ entry: first, left: [...first.dependencies] }];
    if (seen.has(first.id)) continue;
    seen.add(first.id);
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const id = top.left.shift();
      const on = id === undefined ? undefined : byId.get(id);
      if (id === undefined) {
        ordered.push(top.entry);
        open.pop();
      } else if (on !== undefined && !seen.has(id)) {
        seen.add(id);
        open.push({ entry: on, left: [...on.dependencies] });
      }
    }
  }
  return ordered;
}

/** All entries under common numbers, with the dependencies between archives that no single one knows. */
export function mergeArchives(
  archives: readonly (readonly ArchiveEntry[])[],
  ties: readonly Tie[],
): ArchiveEntry[] {
  const offsets = offsetsOf(archives);
  const renumbered = archives.flatMap((entries, i) => {
    const offset = offsets[i] ?? 0;
    return entries.map((entry) => ({
      ...entry,
      id: entry.id + offset,
      dependencies: entry.dependencies.map((id) => id + offset),
    }));
  });
  const byObject = new Map(
    renumbered
      .filter(({ oid }) => oid !== '0')
      .map((entry) => [`${entry.classOid} ${entry.oid}`, entry]),
  );
  const added = new Map<number, number[]>();
  for (const { from, table, to } of ties) {
    const one = byObject.get(from) ?? byObject.get(table);
    const on = byObject.get(to);
    if (!one || !on || one.id === on.id) continue;
    added.set(one.id, [...(added.get(one.id) ?? []), on.id]);
  }
  const triggers = new Set(
    renumbered.filter(({ kind }) => kind === 'EVENT TRIGGER').map(({ id }) => id),
  );
  const ranks: ArchiveEntry[][] = [[], [], [], []];
  for (const entry of renumbered) {
    const more = added.get(entry.id)?.filter((id) => !entry.dependencies.includes(id)) ?? [];
    ranks[rank(entry, triggers)]?.push(
      more.length === 0
        ? entry
        : { ...entry, dependencies: [...entry.dependencies, ...new Set(more)] },
    );
  }
  return behindDependencies(ranks.flat());
}
