/** Groups of schema entries that fit into one transaction, each with all its dependencies, so that it can be tried alone. Pure. */
import type { PlannedEntry } from '../../archive/entry-phase.ts';

/** Numerous and rarely refused kinds: in a large schema they come last, as time permits. */
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
/** Entries per message, and per heartbeat. */
const MOST_TOGETHER = 50;

/**
 * The entries in groups, each in the archive's order; one group if all fit into it.
 * @param most entries whose locks fit into one transaction; a single entry may need more.
 */
export function groupsOf(entries: readonly PlannedEntry[], most: number): PlannedEntry[][] {
  return [...grouping(entries, most)];
}

/** {@link groupsOf} as a generator: of a large schema only the first groups are tried. */
export function* grouping(
  entries: readonly PlannedEntry[],
  most: number,
): Generator<PlannedEntry[], void> {
  if (entries.length <= most) {
    if (entries.length > 0) yield [...entries];
    return;
  }
  const byId = needing(entries);
  const position = new Map(entries.map(({ id }, at) => [id, at]));
  const ordered = (ids: ReadonlySet<number>): PlannedEntry[] =>
    [...ids]
      .map((id) => position.get(id) ?? 0)
      .sort((a, b) => a - b)
      .flatMap((at) => entries[at] ?? []);
  const seen = new Set<number>();
  let group = new Set<number>();
  const plain = ({ kind }: PlannedEntry) => PLAIN.has(kind);
  for (const entry of [...entries.filter((one) => !plain(one)), ...entries.filter(plain)]) {
    if (seen.has(entry.id)) continue;
    const needs = closure(entry, byId, group);
    if (group.size > 0 && group.size + needs.size > most) {
      yield ordered(group);
      group = closure(entry, byId, new Set());
      for (const id of group) seen.add(id);
    }
    for (const id of needs) {
      group.add(id);
      seen.add(id);
    }
  }
  yield ordered(group);
}

interface Entry {
  readonly needs: readonly number[];
}

/**
 * What each entry needs: its dependencies, and for the attachment of an index also the attachment of its table. pg_dump implies
 * that one only by its order; without it the server answers 55000.
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
  const attached = ({ dependencies }: PlannedEntry): number[] => {
    const below = [...new Set(dependencies.flatMap((id) => byId.get(id)?.dependencies ?? []))];
    return below.flatMap((one) =>
      below.flatMap((other) => (one < other ? (attachments.get(`${one} ${other}`) ?? []) : [])),
    );
  };
  return new Map(
    entries.map((entry) => {
      const needs =
        entry.kind === 'INDEX ATTACH'
          ? [...entry.dependencies, ...attached(entry)]
          : entry.dependencies;
      return [entry.id, { needs }];
    }),
  );
}

/** The entry and its dependencies that are not yet in the group. */
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

/** Whether it failed or depends on an entry that failed. */
export function dependsOnFailed(
  { id, dependencies }: PlannedEntry,
  failed: ReadonlySet<number>,
): boolean {
  return failed.has(id) || dependencies.some((one) => failed.has(one));
}

/** The entry at this position, with following ones that can be tried in the same message. */
export function plainRun(
  group: readonly PlannedEntry[],
  from: number,
  failed: ReadonlySet<number>,
): PlannedEntry[] {
  const run = group.slice(from, from + MOST_TOGETHER);
  const early = run[0]?.phase === 'tables';
  const end = run.findIndex(
    (one) =>
      !PLAIN.has(one.kind) || (one.phase === 'tables') !== early || dependsOnFailed(one, failed),
  );
  return end < 0 ? run : run.slice(0, Math.max(end, 1));
}
