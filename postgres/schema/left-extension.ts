/**
 * An extension that the input leaves out: what goes with it, and what may not. Views, functions and the like that stand on
 * it go, by name. What a selected table consists of (columns, defaults, indexes, constraints, triggers, …) and other
 * extensions may not: those are refused. Pure, over the archive's own dependencies.
 */
import { describeEntry, type ArchiveEntry } from './archive.ts';
import { ownRelation, PARTS } from './left-out.ts';

/** An object that belongs to an extension, as the catalog names it; schema null for those that have none. */
export interface Member {
  readonly schema: string | null;
  readonly name: string;
}

/** The first words of a grant's tag, before the name. */
const GRANTED =
  /^(?:AGGREGATE|COLUMN|DOMAIN|FOREIGN DATA WRAPPER|FOREIGN SERVER|FUNCTION|LANGUAGE|PROCEDURE|SCHEMA|SEQUENCE|TABLE|TYPE) /;
/** What pg_dump writes of an extension's members, beside the extension: what was changed since its creation. */
const CHANGED = new Set(['ACL', 'POLICY', 'ROW SECURITY']);

/**
 * Whether the entry changes a member of an extension that is left out: a grant on one of its functions, as a rule. Such an
 * entry names no oid, and depends on a number that the archive does not list, because the member itself is not in it.
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
 * What is in the way of leaving the extensions out, in words; none when nothing is.
 * @param going ids of what goes with them, to the last that depends on it.
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
