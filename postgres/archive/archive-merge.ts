/**
 * Merges the entries of several archives: first everything but the leaves, then the leaves in groups (separable-table.ts). Pure. Entries
 * are numbered consecutively across archives, so that a number identifies its archive, and ordered as in one script.
 */
import type { ArchiveEntry } from './archive.ts';
import type { Tie } from '../catalog/separable-table.ts';
import { atOnce, overAll } from './yielding-work.ts';

/** For each archive, the first number of its entries in the merged list, minus one; ascending. */
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

/** Sections, then grants, then event triggers, which would fire for everything before: pg_restore's own order. */
function rank(
  { kind, section, dependencies }: ArchiveEntry,
  triggers: ReadonlySet<number>,
): number {
  if (kind === 'EVENT TRIGGER' || dependencies.some((id) => triggers.has(id))) return 3;
  if (kind === 'ACL' || kind === 'DEFAULT ACL') return 2;
  return section === 'post' ? 1 : 0;
}

/**
 * The same entries, each after its dependencies. Sections alone are not enough: a table's default may call a function that
 * needs a primary key. Within a cycle, which pg_dump has broken up already, the order stays.
 */
function* behindDependencies(entries: readonly ArchiveEntry[]): Generator<void, ArchiveEntry[]> {
  const byId = new Map<number, ArchiveEntry>();
  yield* overAll(entries, (entry) => void byId.set(entry.id, entry));
  const seen = new Set<number>();
  const ordered: ArchiveEntry[] = [];
  // An explicit stack: a chain of views may be too long for recursion.
  yield* overAll(entries, (first) => {
    if (seen.has(first.id)) return;
    const open = [{ entry: first, left: [...first.dependencies] }];
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
  });
  return ordered;
}

/** All entries with common numbers, and with the dependencies between archives that no single archive shows. */
export function mergeArchives(
  archives: readonly (readonly ArchiveEntry[])[],
  ties: readonly Tie[],
): ArchiveEntry[] {
  return atOnce(merging(archives, ties));
}

/** {@link mergeArchives} in pieces. */
export function* merging(
  archives: readonly (readonly ArchiveEntry[])[],
  ties: readonly Tie[],
): Generator<void, ArchiveEntry[]> {
  const offsets = offsetsOf(archives);
  yield;
  const renumbered: ArchiveEntry[] = [];
  const byObject = new Map<string, ArchiveEntry>();
  const triggers = new Set<number>();
  for (const [i, entries] of archives.entries()) {
    const offset = offsets[i] ?? 0;
    yield* overAll(entries, (one) => {
      const entry = {
        ...one,
        id: one.id + offset,
        dependencies: one.dependencies.map((id) => id + offset),
      };
      renumbered.push(entry);
      if (one.oid !== '0') byObject.set(`${one.classOid} ${one.oid}`, entry);
      if (one.kind === 'EVENT TRIGGER') triggers.add(entry.id);
    });
    yield;
  }
  const added = new Map<number, Set<number>>();
  yield* overAll(ties, ({ from, table, to }) => {
    const one = byObject.get(from) ?? byObject.get(table);
    const on = byObject.get(to);
    if (!one || !on || one.id === on.id || one.dependencies.includes(on.id)) return;
    const more = added.get(one.id) ?? new Set();
    added.set(one.id, more.add(on.id));
  });
  const ranks: ArchiveEntry[][] = [[], [], [], []];
  yield* overAll(renumbered, (entry) => {
    const more = added.get(entry.id);
    ranks[rank(entry, triggers)]?.push(
      more ? { ...entry, dependencies: [...entry.dependencies, ...more] } : entry,
    );
  });
  return yield* behindDependencies(ranks.flat());
}
