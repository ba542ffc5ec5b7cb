/**
 * Which entries of an archive belong to a migration, and in which of its steps they run. Pure.
 *
 * The whole schema is moved, except for tables that are not selected and everything that cannot exist without them, according
 * to the archive's own dependencies: constraints, indexes, triggers, defaults, owned sequences, views, grants, comments, and
 * foreign keys that reference them. A selected table is never left out silently: if it needs something that is left out, the
 * migration is refused.
 */
import { describeEntry, type ArchiveEntry } from './archive.ts';
import { changesMember, neededParts, wordNeed, type Member } from './left-extension.ts';
import { newsOf, ownRelation, PARTS } from './left-out.ts';
import { atOnce, overAll, thoseOf } from './yielding-work.ts';
import { type PlannedEntry, TABLES, withPhases } from './entry-phase.ts';
import { FENCE_SCHEMA, FENCE_TRIGGER } from '../catalog/own-object.ts';

export interface Choice {
  /** Oids of the selected tables on the source. */
  readonly selected: ReadonlySet<string>;
  /** Oids of tables that the operator created on the target. Their parts are not moved; what depends on them is. */
  readonly given?: ReadonlySet<string>;
  /** Whether a pattern excludes a view or sequence of that name. */
  readonly excluded: (schema: string, name: string) => boolean;
  readonly grants: boolean;
  readonly ignore: IgnoredObjects;
}

/** Whole objects that the input ignores by name. */
export interface IgnoredObjects {
  readonly extensions: ReadonlySet<string>;
  readonly eventTriggers: ReadonlySet<string>;
  /** Members of those extensions: the archive does not list them. */
  readonly members: readonly Member[];
}

export interface FilteredArchive {
  readonly kept: readonly PlannedEntry[];
  /** Types of columns of tables that the operator created: the operator may have had to create these first. */
  readonly mayBeThere: ReadonlySet<number>;
  /** For the log: all entries that are not moved. */
  readonly leftOut: readonly string[];
  /** Entries that no pattern names and that depend on something left out. */
  readonly news: readonly string[];
  /** Selected tables that cannot be created, with the reason. If not empty, refuse. */
  readonly uncreatable: readonly string[];
}

const NEVER = new Set([
  'PUBLICATION',
  'PUBLICATION TABLE',
  'PUBLICATION TABLES IN SCHEMA',
  'SUBSCRIPTION',
  'SUBSCRIPTION TABLE',
  'SECURITY LABEL', // needs the same label provider on the target
  'DATABASE',
  'DATABASE PROPERTIES',
]);
const GRANTS = new Set(['ACL', 'DEFAULT ACL']);

const EXCLUDABLE = new Set(['VIEW', 'MATERIALIZED VIEW', 'SEQUENCE']);
const INDEX_LIKE = new Set(['INDEX', 'CONSTRAINT']);

const OWN_SCHEMAS = new Set(['walferry', FENCE_SCHEMA]);

/** Splits the entries of an archive into those that are moved, with their phase, and those left out. */
export function filterArchive(entries: readonly ArchiveEntry[], choice: Choice): FilteredArchive {
  return atOnce(filtering(entries, choice));
}

/** {@link filterArchive} in pieces. */
export function* filtering(
  entries: readonly ArchiveEntry[],
  choice: Choice,
): Generator<void, FilteredArchive> {
  const byId = new Map<number, ArchiveEntry>();
  yield* overAll(entries, (entry) => void byId.set(entry.id, entry));
  const needed = neededSequences(entries, byId, choice);
  yield;
  const given = yield* givenEntries(entries, byId, choice, needed);
  const out = new Set<number>();
  yield* overAll(entries, (entry) => {
    const kept = needed.has(entry.id) || given.has(entry.id);
    if (!kept && unwanted(entry, choice)) out.add(entry.id);
  });
  yield* overAll(entries, (entry) => {
    if (changesMember(entry, byId, choice.ignore.members)) out.add(entry.id);
  });
  const unwantedIds = new Set(out);
  const stays = (entry: ArchiveEntry) =>
    needed.has(entry.id) || given.has(entry.id) || isSelectedTable(entry, choice);
  const left = new Set((yield* thoseOf(entries, (one) => isLeft(one, choice))).map(({ id }) => id));
  const going = new Set(left);
  yield* addDependents(going, entries, byId, stays);
  const uncreatable = neededParts(entries, going, left, (entry) => isSelectedTable(entry, choice));
  yield;
  yield* addDependents(out, entries, byId, stays);

  const attached = attachments(entries);
  yield;
  const present = new Set<string>();
  yield* overAll(entries, ({ oid }) => void present.add(oid));
  for (const oid of choice.selected) {
    if (!present.has(oid)) uncreatable.push(`the table with oid ${oid} is not in the dump`);
  }
  yield* overAll(entries, (entry) => {
    if (!isSelectedTable(entry, choice)) return;
    for (const id of entry.dependencies) {
      const needs = byId.get(id);
      if (!out.has(id) || needs === undefined || attached.has(`${entry.id} ${id}`)) continue;
      uncreatable.push(wordNeed(entry, needs));
    }
  });
  const kept = yield* thoseOf(entries, ({ id }) => !out.has(id) && !given.has(id));
  const leftOut = yield* thoseOf(
    entries,
    ({ id, kind, section }) => out.has(id) && !TABLES.has(kind) && section !== 'other',
  );
  return {
    kept: yield* withPhases(kept),
    mayBeThere: typesOf(given, byId),
    leftOut: leftOut.map(describeEntry),
    news: newsOf(entries, out, unwantedIds),
    uncreatable: [...new Set(uncreatable)],
  };
}

/** Adds what cannot exist without `out`, transitively: a rule adds its view, and the view adds its dependents. */
function* addDependents(
  out: Set<number>,
  entries: readonly ArchiveEntry[],
  byId: ReadonlyMap<number, ArchiveEntry>,
  stays: (entry: ArchiveEntry) => boolean,
): Generator<void, void> {
  // An empty set has no dependents.
  for (let before = 0; before !== out.size;) {
    before = out.size;
    yield* overAll(entries, (entry) => {
      if (out.has(entry.id) || stays(entry)) return;
      const goes =
        entry.dependencies.some((id) => out.has(id) && decides(entry, byId.get(id))) ||
        ownerGone(entry, byId, out);
      if (!goes) return;
      out.add(entry.id);
      if (isViewRule(entry)) {
        for (const id of entry.dependencies) if (byId.get(id)?.kind === 'VIEW') out.add(id);
      }
    });
  }
}

function isLeft({ kind, name }: ArchiveEntry, { ignore }: Choice): boolean {
  return kind === 'EXTENSION' && ignore.extensions.has(name);
}

/** Kinds that follow the object that they are about. */
const FOLLOWERS = new Set(['COMMENT', 'ACL', 'SECURITY LABEL', 'SEQUENCE OWNED BY']);

/** Tables that the operator created on the target, and their parts. */
function* givenEntries(
  entries: readonly ArchiveEntry[],
  byId: ReadonlyMap<number, ArchiveEntry>,
  choice: Choice,
  needed: ReadonlySet<number>,
): Generator<void, Set<number>> {
  const tables = new Set(
    entries
      .filter(({ kind, oid }) => TABLES.has(kind) && choice.given?.has(oid) === true)
      .map(({ id }) => id),
  );
  const given = new Set(tables);
  // Indexes of partitions, found by the statements that attach them: a foreign key to the root names them, only for the order.
  const below = new Set<number>();
  for (let before = 0; before !== given.size;) {
    before = given.size;
    yield* overAll(entries, (entry) => {
      const { id, kind, dependencies } = entry;
      const own = PARTS.has(kind) ? ownRelation(entry, byId) : undefined;
      const owned =
        kind === 'SEQUENCE' && !needed.has(id) && dependencies.some((on) => tables.has(on));
      const follows = FOLLOWERS.has(kind) && dependencies.some((on) => given.has(on));
      const attaches =
        kind === 'INDEX ATTACH' && dependencies.some((on) => given.has(on) || below.has(on));
      if (attaches) for (const on of dependencies) below.add(on);
      if (attaches || owned || follows || (own !== undefined && tables.has(own.id))) given.add(id);
    });
  }
  return given;
}

const TYPES = new Set(['TYPE', 'DOMAIN', 'SHELL TYPE']);

/** Types that the entries depend on, directly or through other types. */
function typesOf(given: ReadonlySet<number>, byId: ReadonlyMap<number, ArchiveEntry>): Set<number> {
  const types = new Set<number>();
  const visit = (id: number): void => {
    for (const on of byId.get(id)?.dependencies ?? []) {
      if (types.has(on) || !TYPES.has(byId.get(on)?.kind ?? '')) continue;
      types.add(on);
      visit(on);
    }
  };
  for (const id of given) visit(id);
  return types;
}

function isSelectedTable(entry: ArchiveEntry, choice: Choice): boolean {
  return TABLES.has(entry.kind) && choice.selected.has(entry.oid);
}

function unwanted(entry: ArchiveEntry, choice: Choice): boolean {
  const { kind, schema, name } = entry;
  if (entry.section === 'other' || NEVER.has(kind) || isLeft(entry, choice)) return true;
  if (kind === 'EVENT TRIGGER' && choice.ignore.eventTriggers.has(name)) return true;
  if (GRANTS.has(kind) && !choice.grants) return true;
  if (schema !== null && OWN_SCHEMAS.has(schema)) return true;
  if (kind === 'SCHEMA' && OWN_SCHEMAS.has(name)) return true;
  // pg_dump's tag of a trigger: table, space, trigger.
  if (kind === 'TRIGGER' && name.includes(` ${FENCE_TRIGGER}`)) return true;
  // An extension creates its own comment, and only its owner may set one: often not our role on a hosted server.
  if (kind === 'COMMENT' && name.startsWith('EXTENSION ')) return true;
  if (TABLES.has(kind)) return !choice.selected.has(entry.oid);
  return EXCLUDABLE.has(kind) && schema !== null && choice.excluded(schema, name);
}

/**
 * Whether an entry is left out when one that it depends on is. A partition's index depends on its parent's index only for
 * the order, and a partition on its parent only through TABLE ATTACH.
 */
function decides(entry: ArchiveEntry, on: ArchiveEntry | undefined): boolean {
  if (on === undefined) return false;
  return !(INDEX_LIKE.has(entry.kind) && INDEX_LIKE.has(on.kind));
}

/** SEQUENCE OWNED BY depends only on the sequence, but names the owning table. */
function ownerGone(
  entry: ArchiveEntry,
  byId: ReadonlyMap<number, ArchiveEntry>,
  out: ReadonlySet<number>,
): boolean {
  if (entry.kind !== 'SEQUENCE OWNED BY') return false;
  return entry.dependencies.some((id) =>
    byId.get(id)?.dependencies.some((owner) => out.has(owner)),
  );
}

/** `CREATE OR REPLACE VIEW` that pg_dump postponed: without it the view returns only nulls. */
function isViewRule(entry: ArchiveEntry): boolean {
  return entry.kind === 'RULE' && entry.name.endsWith(' _RETURN');
}

/** Partition and parent, as `child parent`, where the archive attaches them in a separate statement. */
function attachments(entries: readonly ArchiveEntry[]): Set<string> {
  const pairs = new Set<string>();
  for (const entry of entries) {
    if (entry.kind !== 'TABLE ATTACH') continue;
    for (const one of entry.dependencies) {
      for (const other of entry.dependencies) pairs.add(`${one} ${other}`);
    }
  }
  return pairs;
}

/**
 * Sequences that selected tables need for a default, an identity or an owned column. They are kept, whatever their owner, and
 * even if a pattern excludes them: a pattern that is meant for other tables often matches the name of a hidden sequence.
 */
function neededSequences(
  entries: readonly ArchiveEntry[],
  byId: ReadonlyMap<number, ArchiveEntry>,
  choice: Choice,
): Set<number> {
  const needed = new Set<number>();
  const isSelected = (id: number) => {
    const on = byId.get(id);
    return on !== undefined && isSelectedTable(on, choice);
  };
  for (const entry of entries) {
    // The statement of an identity's sequence, and SEQUENCE OWNED BY, depend on the table.
    if (entry.kind === 'SEQUENCE' && entry.dependencies.some(isSelected)) needed.add(entry.id);
    const uses =
      isSelectedTable(entry, choice) ||
      (entry.kind === 'DEFAULT' && entry.dependencies.some(isSelected));
    if (!uses) continue;
    for (const id of entry.dependencies) if (byId.get(id)?.kind === 'SEQUENCE') needed.add(id);
  }
  return needed;
}
