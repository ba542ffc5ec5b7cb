/**
 * Which of the objects that a migration leaves out must be reported by name: those that a reader of the input would expect on
 * the target. That an excluded table's own indexes and triggers are missing is obvious; a view, a function or another table's
 * foreign key that is left out with it must be named. Also stores the names until the final summary.
 */
import type pg from 'pg';
import type { LeftOut } from '../../contract/work.ts';
import { describeEntry, type ArchiveEntry } from './archive.ts';

/** Bounded, because names are kept in the workflow's history. */
const MOST_NAMES = 50;

const RELATIONS = new Set(['TABLE', 'FOREIGN TABLE', 'VIEW', 'MATERIALIZED VIEW']);
/** They belong to an object that is left out itself, or state where a sequence or an index belongs. */
const NEVER_NEWS = new Set([
  'COMMENT',
  'ACL',
  'DEFAULT ACL',
  'SEQUENCE',
  'SEQUENCE OWNED BY',
  'INDEX ATTACH',
]);
/** Parts of a relation; the first dependency that matches their name is that relation. */
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
 * Names of the entries that are left out because of others.
 * @param out ids of all entries that are left out.
 * @param unwanted those that the selection or the settings exclude directly.
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

/** The table or view that an entry is part of; undefined when the archive does not show it. */
export function ownRelation(
  entry: ArchiveEntry,
  byId: ReadonlyMap<number, ArchiveEntry>,
): ArchiveEntry | undefined {
  // An index lists its table once per column.
  const found = [...new Set(entry.dependencies)]
    .map((id) => byId.get(id))
    .filter((one) => one !== undefined && RELATIONS.has(one.kind));
  const tag = `${entry.schema ?? ''}.${entry.name} `;
  const named = found
    .filter((one) => tag.startsWith(`${one?.schema ?? ''}.${one?.name ?? ''} `))
    .sort((a, b) => (b?.name.length ?? 0) - (a?.name.length ?? 0));
  return named[0] ?? (found.length === 1 ? found[0] : undefined);
}

/** Everything that a migration does not move, by kind and name, grouped by reason. */
export interface LeftBehind {
  /** See {@link newsOf}. */
  readonly excluded: readonly string[];
  /** For the other lists see uncarried.ts. */
  readonly never: readonly string[];
  readonly accepted: readonly string[];
  readonly unselected: readonly string[];
  /** Check constraints that are added at the cutover (deferred-check.ts). Unset: none. */
  readonly unvalidated?: readonly string[];
}

/** Stores the names: a report whose answer was lost is requested again. */
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

/** The reasons as the control schema stores them. */
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
  const shown = [excluded, never, accepted, unselected, unvalidated].flat().length;
  return {
    excluded,
    never,
    // Histories of earlier code have neither list; a migration without such objects reports the same as those.
    ...(accepted.length === 0 ? {} : { accepted }),
    ...(unselected.length === 0 ? {} : { unselected }),
    ...(unvalidated.length === 0 ? {} : { unvalidated }),
    more: rows.length - shown,
  };
}
