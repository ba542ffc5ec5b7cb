/**
 * Which of the objects that a migration leaves out have to be said by name: those that a reader of the input would expect on
 * the target. A table left out takes its own indexes and triggers along; a view, a function or another table's foreign
 * key that goes with it is news. Also where the names are kept until the closing summary.
 */
import type pg from 'pg';
import type { LeftOut } from '../../contract/work.ts';
import { describeEntry, type ArchiveEntry } from './archive.ts';

/** Names live in the workflow's history: bounded. */
const MOST_NAMES = 50;

const RELATIONS = new Set(['TABLE', 'FOREIGN TABLE', 'VIEW', 'MATERIALIZED VIEW']);
/** Belong to an object that is left out itself, or say where a sequence or an index goes. */
const NEVER_NEWS = new Set([
  'COMMENT',
  'ACL',
  'DEFAULT ACL',
  'SEQUENCE',
  'SEQUENCE OWNED BY',
  'INDEX ATTACH',
]);
/** Have a relation of their own, which is their first dependency by name. */
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
 * Names of the entries that go because of others.
 * @param out ids of all entries that are left out.
 * @param unwanted those that the selection or the settings themselves leave out.
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

/** The table or view that an entry is part of; undefined when the archive does not tell. */
export function ownRelation(
  entry: ArchiveEntry,
  byId: ReadonlyMap<number, ArchiveEntry>,
): ArchiveEntry | undefined {
  // An index names its table once for each column.
  const found = [...new Set(entry.dependencies)]
    .map((id) => byId.get(id))
    .filter((one) => one !== undefined && RELATIONS.has(one.kind));
  const tag = `${entry.schema ?? ''}.${entry.name} `;
  const named = found
    .filter((one) => tag.startsWith(`${one?.schema ?? ''}.${one?.name ?? ''} `))
    .sort((a, b) => (b?.name.length ?? 0) - (a?.name.length ?? 0));
  return named[0] ?? (found.length === 1 ? found[0] : undefined);
}

/** Everything that a migration leaves behind, by kind and name, and why. */
export interface LeftBehind {
  /** See {@link newsOf}. */
  readonly excluded: readonly string[];
  /** The rest: see uncarried.ts. */
  readonly never: readonly string[];
  readonly accepted: readonly string[];
  readonly unselected: readonly string[];
  /** Check constraints that are added at the cutover: see deferred-check.ts. Unset: none. */
  readonly unvalidated?: readonly string[];
}

/** Keeps the names: a report whose answer was lost is asked for again. */
export async function storeLeftOut(
  target: pg.ClientBase,
  migration: string,
  left: LeftBehind,
): Promise<void> {
  const rows = REASONS.flatMap(([list, reason]) =>
    (left[list] ?? []).map((object) => ({ object, reason })),
  );
  await target.query(
    /* sql */ `
    insert into walferry.left_out (migration, position, object, reason)
    select $1, at, r ->> 'object', r ->> 'reason' from jsonb_array_elements($2::jsonb) with ordinality as e(r, at)`,
    [migration, JSON.stringify(rows)],
  );
}

/** As the reasons stand in the control schema. */
const REASONS = [
  ['excluded', 'excluded'],
  ['never', 'kind'],
  ['accepted', 'accepted'],
  ['unselected', 'unselected'],
  ['unvalidated', 'unvalidated'],
] as const;

/** The names for the report; undefined when nothing was left out. */
export async function readLeftOut(
  target: pg.ClientBase,
  migration: string,
): Promise<LeftOut | undefined> {
  const { rows } = await target.query<{ object: string; reason: string }>(
    /* sql */ `select object, reason from walferry.left_out where migration = $1 order by position`,
    [migration],
  );
  if (rows.length === 0) return undefined;
  const named = (reason: string) =>
    rows
      .filter((row) => row.reason === reason)
      .slice(0, MOST_NAMES)
      .map(({ object }) => object);
  const [excluded, never] = [named('excluded'), named('kind')];
  const [accepted, unselected] = [named('accepted'), named('unselected')];
  const unvalidated = named('unvalidated');
  const told = [excluded, never, accepted, unselected, unvalidated].flat().length;
  return {
    excluded,
    never,
    // Histories of earlier code have neither list, and a run that has nothing of the kind reads like one of those.
    ...(accepted.length === 0 ? {} : { accepted }),
    ...(unselected.length === 0 ? {} : { unselected }),
    ...(unvalidated.length === 0 ? {} : { unvalidated }),
    more: rows.length - told,
  };
}
