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
function rank({ kind, section }: ArchiveEntry): number {
  if (kind === 'EVENT TRIGGER') return 3;
  if (kind === 'ACL' || kind === 'DEFAULT ACL') return 2;
  return section === 'post' ? 1 : 0;
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
  const ranks: ArchiveEntry[][] = [[], [], [], []];
  for (const entry of renumbered) {
    const more = added.get(entry.id)?.filter((id) => !entry.dependencies.includes(id)) ?? [];
    ranks[rank(entry)]?.push(
      more.length === 0
        ? entry
        : { ...entry, dependencies: [...entry.dependencies, ...new Set(more)] },
    );
  }
  return ranks.flat();
}
