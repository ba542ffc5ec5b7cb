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

/** The table or view that an entry is part of. */
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

/** What no migration carries over, by the names of the source's catalog. `pg_dump` is not asked for the first three. */
const NEVER_CARRIED = /* sql */ `
select 'PUBLICATION ' || quote_ident(pubname) as object from pg_catalog.pg_publication
union all
select 'SUBSCRIPTION ' || quote_ident(subname) from pg_catalog.pg_subscription s
  join pg_catalog.pg_database d on d.oid = s.subdbid where d.datname = current_database()
union all
select 'SECURITY LABEL of provider ' || quote_ident(provider) from pg_catalog.pg_seclabel group by provider
union all
-- The setting's name only: its value may be a secret.
select format('DATABASE SETTING %s%s', split_part(setting, '=', 1), case when r.rolname is null then '' else format(' of role %I', r.rolname) end)
  from pg_catalog.pg_db_role_setting s
  join pg_catalog.pg_database d on d.oid = s.setdatabase and d.datname = current_database()
  left join pg_catalog.pg_roles r on r.oid = s.setrole
  cross join unnest(s.setconfig) setting
order by 1`;

export async function readNeverCarried(source: pg.ClientBase): Promise<string[]> {
  return (await source.query<{ object: string }>(NEVER_CARRIED)).rows.map(({ object }) => object);
}

export interface Names {
  readonly excluded: readonly string[];
  readonly never: readonly string[];
}

/** Keeps the names: a report whose answer was lost is asked for again. */
export async function storeLeftOut(
  target: pg.ClientBase,
  migration: string,
  { excluded, never }: Names,
): Promise<void> {
  const rows = [
    ...excluded.map((object) => ({ object, reason: 'excluded' })),
    ...never.map((object) => ({ object, reason: 'kind' })),
  ];
  await target.query(
    /* sql */ `
    insert into walferry.left_out (migration, position, object, reason)
    select $1, at, r ->> 'object', r ->> 'reason' from jsonb_array_elements($2::jsonb) with ordinality as e(r, at)`,
    [migration, JSON.stringify(rows)],
  );
}

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
  return { excluded, never, more: rows.length - excluded.length - never.length };
}
