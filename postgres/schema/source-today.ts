/**
 * Handles DDL that was run on both sides after the schema was copied. The stored statements name tables, columns and objects as
 * they were then. When one fails because a name is gone, or because rows break a key, the source's current catalog shows
 * whether the object still exists and how it is defined now. Objects are identified by oid, because their names may belong to
 * other objects now, and by name if they were recreated.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { connectSource } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { splitOwner } from '../archive/owner.ts';
import { NOT_FOUND } from './run-entry.ts';
import { isViolation } from '../session/ddl-failure.ts';
import { lockLeftOut, noteLeftOut } from '../store/left-behind.ts';
import {
  type StoredEntry,
  type SourceObject,
  nameEntry,
  readSourceObjects,
} from '../store/schema-entry.ts';
import { claimEntry, settleByHand } from '../store/entry-mark.ts';

/** Catalogs that prove that an object is gone; for objects of other catalogs nothing is known. */
const CATALOGS = /* sql */ `
  select 'pg_catalog.pg_class'::regclass as class, oid from pg_catalog.pg_class
  union all select 'pg_catalog.pg_constraint'::regclass, oid from pg_catalog.pg_constraint
  union all select 'pg_catalog.pg_trigger'::regclass, oid from pg_catalog.pg_trigger
  union all select 'pg_catalog.pg_rewrite'::regclass, oid from pg_catalog.pg_rewrite
  union all select 'pg_catalog.pg_policy'::regclass, oid from pg_catalog.pg_policy
  union all select 'pg_catalog.pg_statistic_ext'::regclass, oid from pg_catalog.pg_statistic_ext`;
/** Their oids, which are the same in every version. */
const KNOWN = new Set(['1259', '2606', '2620', '2618', '3256', '3381']);

/** Not reported separately from the object that they belong to. */
const FOLLOWERS = new Set(['COMMENT', 'INDEX ATTACH']);

/** Statements after the index in pg_dump's entry; `x` is the index's row of pg_index, `t` its table. */
const CHOSEN = /* sql */ `
  case when x.indisclustered then format(e'\\nALTER TABLE %I.%I CLUSTER ON %I;', n.nspname, t.relname, i.relname) else '' end
  || case when x.indisreplident then format(e'\\nALTER TABLE ONLY %I.%I REPLICA IDENTITY USING INDEX %I;', n.nspname, t.relname, i.relname) else '' end`;

/** By pg_dump's kind: the statement of an object ($1 is its oid), the statements after it, and its table. */
const BUILT: Readonly<Record<string, string>> = {
  INDEX: /* sql */ `
    select pg_catalog.pg_get_indexdef(x.indexrelid) || ';' as main, ${CHOSEN} as more, n.nspname as schema, t.relname as name
      from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
      join pg_catalog.pg_class t on t.oid = x.indrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace
     where x.indexrelid = $1`,
  CONSTRAINT: constraint('ONLY '),
  'FK CONSTRAINT': constraint(''),
  'CHECK CONSTRAINT': constraint(''),
  TRIGGER: /* sql */ `
    select pg_catalog.pg_get_triggerdef(g.oid) || ';' as main, ${fires('g.tgenabled', 'TRIGGER', 'g.tgname')} as more, n.nspname as schema, t.relname as name
      from pg_catalog.pg_trigger g
      join pg_catalog.pg_class t on t.oid = g.tgrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace
     where g.oid = $1`,
  RULE: /* sql */ `
    select pg_catalog.pg_get_ruledef(r.oid) as main, ${fires('r.ev_enabled', 'RULE', 'r.rulename')} as more, n.nspname as schema, t.relname as name
      from pg_catalog.pg_rewrite r
      join pg_catalog.pg_class t on t.oid = r.ev_class join pg_catalog.pg_namespace n on n.oid = t.relnamespace
     where r.oid = $1`,
  STATISTICS: /* sql */ `
    select pg_catalog.pg_get_statisticsobjdef(s.oid) || ';' as main,
           format(e'\\nALTER STATISTICS %I.%I OWNER TO %I;', o.nspname, s.stxname, pg_catalog.pg_get_userbyid(s.stxowner)) as more,
           n.nspname as schema, t.relname as name
      from pg_catalog.pg_statistic_ext s join pg_catalog.pg_namespace o on o.oid = s.stxnamespace
      join pg_catalog.pg_class t on t.oid = s.stxrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace
     where s.oid = $1`,
  POLICY: /* sql */ `
    select format('CREATE POLICY %I ON %I.%I AS %s FOR %s TO %s%s%s;', p.polname, n.nspname, t.relname,
             case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end,
             case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'ALL' end,
             (select string_agg(case u.r when 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(u.r)) end, ', ') from unnest(p.polroles) u(r)),
             ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
             ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')') as main,
           '' as more, n.nspname as schema, t.relname as name
      from pg_catalog.pg_policy p
      join pg_catalog.pg_class t on t.oid = p.polrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace
     where p.oid = $1`,
};

/** Statement of a part without an oid, derived from the objects that it depends on ($1 catalogs, $2 oids). */
const DERIVED: Readonly<Record<string, string>> = {
  COMMENT: /* sql */ `
    select format('COMMENT ON %s %s IS %L;',
             case o.type when 'table constraint' then 'constraint' when 'statistics object' then 'statistics' else o.type end,
             o.identity, pg_catalog.obj_description(w.oid, c.relname)) as main, '' as more, null as schema, null as name
      from unnest($1::oid[], $2::oid[]) as w (class, oid) join pg_catalog.pg_class c on c.oid = w.class
     cross join lateral pg_catalog.pg_identify_object(w.class, w.oid, 0) o limit 1`,
  'INDEX ATTACH': /* sql */ `
    with index (oid) as (
      select coalesce(k.conindid, w.oid) from unnest($1::oid[], $2::oid[]) as w (class, oid)
        left join pg_catalog.pg_constraint k on w.class = 'pg_catalog.pg_constraint'::regclass and k.oid = w.oid
    )
    select format('ALTER INDEX %s ATTACH PARTITION %s;', p.oid::regclass, c.oid::regclass) as main, '' as more, null as schema, null as name
      from pg_catalog.pg_inherits h join index p on p.oid = h.inhparent join index c on c.oid = h.inhrelid limit 1`,
  'ROW SECURITY': /* sql */ `
    select format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', t.oid::regclass) as main, '' as more, null as schema, null as name
      from unnest($1::oid[], $2::oid[]) as w (class, oid) join pg_catalog.pg_class t on t.oid = w.oid and w.class = 'pg_catalog.pg_class'::regclass
     where t.relrowsecurity limit 1`,
};

/** Catalog and oid of the object with an entry's schema $1 and name $2; for parts of a table the name starts with the table's. */
const NAMED: Readonly<Record<string, string>> = {
  INDEX: /* sql */ `
    select 'pg_catalog.pg_class'::regclass::oid::text as class, i.oid::text as oid
      from pg_catalog.pg_class i join pg_catalog.pg_namespace n on n.oid = i.relnamespace
     where n.nspname = $1 and i.relname = $2 and i.relkind in ('i', 'I')`,
  CONSTRAINT: namedPart('pg_constraint', 'conrelid', 'conname'),
  'FK CONSTRAINT': namedPart('pg_constraint', 'conrelid', 'conname'),
  'CHECK CONSTRAINT': namedPart('pg_constraint', 'conrelid', 'conname'),
  TRIGGER: namedPart('pg_trigger', 'tgrelid', 'tgname'),
};

function namedPart(catalog: string, table: string, name: string): string {
  return /* sql */ `
    select 'pg_catalog.${catalog}'::regclass::oid::text as class, p.oid::text as oid
      from pg_catalog.${catalog} p join pg_catalog.pg_class t on t.oid = p.${table}
      join pg_catalog.pg_namespace n on n.oid = t.relnamespace
     where n.nspname = $1 and t.relname || ' ' || p.${name} = $2`;
}

/** Statement for the firing state, unless it is the default; `t` is the table. */
function fires(state: string, kind: string, name: string): string {
  return /* sql */ `
  case when ${state} <> 'O' then format(e'\\nALTER TABLE %I.%I %s ${kind} %I;', n.nspname, t.relname,
    case ${state} when 'D' then 'DISABLE' when 'A' then 'ENABLE ALWAYS' else 'ENABLE REPLICA' end, ${name}) else '' end`;
}

function constraint(only: string): string {
  return /* sql */ `
    select format(e'ALTER TABLE ${only === '' ? `%s` : only}%I.%I\\n    ADD CONSTRAINT %I %s;',
                  ${only === '' ? `case when k.contype = 'f' and t.relkind = 'r' then 'ONLY ' else '' end,` : ''}
                  n.nspname, t.relname, k.conname, pg_catalog.pg_get_constraintdef(k.oid)) as main,
           coalesce(${CHOSEN}, '') as more, n.nspname as schema, t.relname as name
      from pg_catalog.pg_constraint k
      join pg_catalog.pg_class t on t.oid = k.conrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace
      left join pg_catalog.pg_index x on x.indexrelid = k.conindid and k.contype in ('p', 'u', 'x')
      left join pg_catalog.pg_class i on i.oid = x.indexrelid
     where k.oid = $1`;
}

interface Built {
  readonly main: string | null;
  readonly more: string;
  readonly schema: string | null;
  readonly name: string | null;
}

interface Place {
  readonly migration: Migration;
  readonly entry: StoredEntry;
  readonly session: Session;
}

/**
 * What to do about an entry whose statement failed with `error`.
 * @returns the entry with the source's current definition; `gone` when the source no longer has it; null when the error is not
 *   about names or broken keys, when the definition is unchanged, or when the source is unavailable.
 * @throws signal.reason when aborted.
 */
export async function entryToday(
  error: unknown,
  { migration, entry, session }: Place,
  work: Work,
): Promise<StoredEntry | 'gone' | null> {
  if (!isViolation(error) && !isNotFound(error)) return null;
  try {
    const [noted, on] = await readObjects(session, migration, entry);
    await using source = await connectSource(migration, 'schema', { signal: work.signal });
    await source.query(/* sql */ `set search_path = ''`);
    const objects = noted === null ? on : [noted];
    if (objects.length === 0) return null;
    const gone = await lacks(source, objects);
    const own = gone && noted !== null ? await findRecreated(source, entry) : noted;
    if (gone && own === null) return 'gone';
    const [query, values] =
      own === null
        ? [DERIVED[entry.kind], [on.map(({ class: one }) => one), on.map(({ oid }) => oid)]]
        : [BUILT[entry.kind], [own.oid]];
    if (query === undefined) return null;
    const [built] = (await source.query<Built>(query, values)).rows;
    if (!built) return 'gone';
    if (built.main === null || entry.sql.startsWith(built.main)) return null;
    const more =
      entry.kind === 'STATISTICS' && splitOwner(entry.sql).owner === null ? '' : built.more;
    const { schema, name } = built;
    work.log.warn('building an object with its current definition on the source', {
      object: nameEntry(entry),
    });
    return {
      ...entry,
      sql: built.main + more,
      ...(schema === null || name === null ? {} : { tableToday: { schema, name } }),
    };
  } catch (failure) {
    work.signal.throwIfAborted();
    work.log.warn('the current definition of an object could not be read from the source', {
      object: nameEntry(entry),
      error: failure instanceof MigrationError ? failure.message : sqlstate(failure),
    });
    return null;
  }
}

/** The object that has a lost entry's name now: REINDEX CONCURRENTLY recreates an index, and so may an operator. */
async function findRecreated(
  source: pg.ClientBase,
  { kind, schema, name }: StoredEntry,
): Promise<SourceObject | null> {
  const query = NAMED[kind];
  if (query === undefined) return null;
  return (await source.query<SourceObject>(query, [schema, name])).rows[0] ?? null;
}

/** Marks an entry that the source no longer has as done, and records its name as left out. */
export async function recordDropped(
  { migration, entry, session }: Place,
  work: Pick<Work, 'log'>,
): Promise<void> {
  await session.transaction(async (client) => {
    if (!(await claimEntry(client, migration.id, entry.id))) return;
    if (FOLLOWERS.has(entry.kind)) return;
    // Other sessions insert at the same time and would choose the same next position.
    await lockLeftOut(client);
    await noteLeftOut(
      client,
      migration.id,
      `${nameEntry(entry)} (the source has dropped it since)`,
    );
  });
  work.log.warn('an object is left out: the source has dropped it since the schema was copied', {
    object: nameEntry(entry),
  });
}

/** Advice for a statement that names a missing object: how to continue without it. Empty for other errors. */
export function missingNameAdvice(error: unknown, { id }: StoredEntry): string {
  if (!isNotFound(error)) return '';
  return `; if a name in it has changed on both sides, create the object by hand if you need it, then on the target: ${settleByHand(id)}; and resume`;
}

function isNotFound(error: unknown): boolean {
  const state = error instanceof MigrationError ? error.details.sqlstate : sqlstate(error);
  return state === SQLSTATE.undefinedColumn || NOT_FOUND.has(state);
}

/** The entry's own object on the source (null for a part without one), and the objects that it depends on. */
async function readObjects(
  session: Session,
  migration: Migration,
  { id, depends }: StoredEntry,
): Promise<readonly [SourceObject | null, readonly SourceObject[]]> {
  const rows = await session.run((client) =>
    readSourceObjects(client, migration.id, [id, ...depends]),
  );
  // ROW SECURITY has its table's oid, but no catalog.
  const own = rows.find((row) => row.id === id && row.class !== '0');
  if (own) return [KNOWN.has(own.class) ? own : null, []];
  return [null, rows.filter((row) => row.id !== id && KNOWN.has(row.class))];
}

async function lacks(source: pg.ClientBase, objects: readonly SourceObject[]): Promise<boolean> {
  const { rowCount } = await source.query(
    /* sql */ `
    select from unnest($1::oid[], $2::oid[]) as w (class, oid)
     where not exists (select from (${CATALOGS}) o where o.class = w.class and o.oid = w.oid)`,
    [objects.map((one) => one.class), objects.map(({ oid }) => oid)],
  );
  return (rowCount ?? 0) > 0;
}
