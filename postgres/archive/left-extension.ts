/**
 * An extension that the input ignores: what is left out with it, and what must not be. Views, functions and the like that
 * depend on it are left out, by name. Parts of a selected table (columns, defaults, indexes, constraints, triggers, …) and
 * other extensions that need it are refused. Pure, based on the archive's dependencies.
 */
import { describeEntry, type ArchiveEntry } from './archive.ts';
import { ownRelation, PARTS } from './left-out.ts';

/** An object that belongs to an extension, as the catalog names it; schema is null for objects without one. */
export interface Member {
  readonly schema: string | null;
  readonly name: string;
}

/** The first words of a grant's tag, before the name. */
const GRANTED =
  /^(?:AGGREGATE|COLUMN|DOMAIN|FOREIGN DATA WRAPPER|FOREIGN SERVER|FUNCTION|LANGUAGE|PROCEDURE|SCHEMA|SEQUENCE|TABLE|TYPE) /;
/** Kinds that pg_dump writes for members of an extension: what was changed since its creation. */
const CHANGED = new Set(['ACL', 'POLICY', 'ROW SECURITY']);

/**
 * Whether the entry changes a member of an ignored extension: usually a grant on one of its functions. Such an entry has
 * no oid, and depends on a number that the archive does not list, because the member itself is not in it.
 */
export function changesMember(
  entry: ArchiveEntry,
  byId: ReadonlyMap<number, ArchiveEntry>,
  members: readonly Member[],
): boolean {
  if (!CHANGED.has(entry.kind)) return false;
  if (entry.dependencies.some((id) => byId.has(id) && byId.get(id)?.kind !== 'ACL')) return false;
  const tag = entry.kind === 'ACL' ? entry.name.replace(GRANTED, '') : entry.name;
  return members.some(({ schema, name }) => {
    if (schema !== entry.schema) return false;
    const quoted = `"${name.replaceAll('"', '""')}"`;
    return [name, quoted].some(
      (one) => tag.startsWith(one) && ['', '(', '.', ' '].includes(tag.charAt(one.length)),
    );
  });
}

/**
 * Describes what prevents leaving the extensions out; empty when nothing does.
 * @param going ids of everything that is left out with them, transitively.
 * @param left ids of the extensions themselves.
 */
export function neededParts(
  entries: readonly ArchiveEntry[],
  going: ReadonlySet<number>,
  left: ReadonlySet<number>,
  isSelectedTable: (entry: ArchiveEntry) => boolean,
): string[] {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  return entries.flatMap((entry) => {
    if (!going.has(entry.id) || left.has(entry.id)) return [];
    const own = PARTS.has(entry.kind) ? ownRelation(entry, byId) : undefined;
    if (entry.kind !== 'EXTENSION' && (own === undefined || !isSelectedTable(own))) return [];
    const needs = entry.dependencies.flatMap((id) => (going.has(id) ? (byId.get(id) ?? []) : []));
    return needs.slice(0, 1).map((one) => wordNeed(entry, one));
  });
}

export function wordNeed(entry: ArchiveEntry, needs: ArchiveEntry): string {
  return `${describeEntry(entry)} needs ${describeEntry(needs)}, which is left out`;
}
