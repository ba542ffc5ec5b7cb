/**
 * What a comparison covers: the objects that the migration moves. Everything else of the source's database is left out: tables that
 * the input does not select, extensions that it ignores, and what cannot exist without them. The schema copy takes this from
 * pg_dump's list (archive/archive-filter.ts); here the source's catalog says it as of now.
 */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';
import { readRelations } from '../catalog/read-relations.ts';
import type { Relation } from '../catalog/relation.ts';
import { compileSelection, type TableName } from '../catalog/selection.ts';
import { readTablesState } from '../store/tables-created.ts';
import { rowKey } from './fact.ts';

export interface Scope {
  /** The selected tables, without those that go through a root that the operator created. */
  readonly tables: readonly Relation[];
  /** Tables and views. */
  readonly relations: readonly TableName[];
  /** Rows of the source's catalogs ({@link rowKey}) that are left out. */
  readonly out: ReadonlySet<string>;
  /** Whether walferry created the schema; if not, only the tables and their parts are compared. */
  readonly whole: boolean;
  /** Whether the control schema knows the migration; not when it is over. */
  readonly registered: boolean;
}

interface View extends TableName {
  readonly oid: string;
}

const VIEWS = /* sql */ `
select c.oid::text as oid, n.nspname as schema, c.relname as name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = any($1) and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})
   and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
 order by 2, 3`;

/**
 * `$1`: oids of the selected tables, `$2`: of views and sequences that a pattern excludes, `$3`: ignored extensions, `$4`: ignored
 * event triggers. A view goes with its rule, a selected table never.
 */
const LEFT_OUT = /* sql */ `
with recursive seed (cls, oid) as (
  select 'pg_catalog.pg_class'::pg_catalog.regclass::oid, c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.oid <> all($1::oid[])
     and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
  union select 'pg_catalog.pg_class'::pg_catalog.regclass, one from unnest($2::oid[]) one
  union select 'pg_catalog.pg_extension'::pg_catalog.regclass, e.oid from pg_catalog.pg_extension e where e.extname = any($3::text[])
  union select d.classid, d.objid from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
   where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e' and e.extname = any($3::text[])
  union select 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, e.oid from pg_catalog.pg_event_trigger e where e.evtname = any($4::text[])
), gone (cls, oid) as (
  select cls, oid from seed
  union
  select next.cls, next.oid
    from gone join pg_catalog.pg_depend d on d.refclassid = gone.cls and d.refobjid = gone.oid and d.deptype in ('n', 'a', 'i')
    left join pg_catalog.pg_rewrite w on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and w.oid = d.objid and w.rulename = '_RETURN'
   cross join lateral (values (d.classid, d.objid), ('pg_catalog.pg_class'::pg_catalog.regclass::oid, w.ev_class)) as next (cls, oid)
   where next.oid is not null and not (next.cls = 'pg_catalog.pg_class'::pg_catalog.regclass and next.oid = any($1::oid[]))
)
select cls::text as cls, oid::text as oid from gone`;

/** Reads it from the source's catalog; whether walferry created the schema, from the control schema. */
export async function readScope(
  { source, target }: { readonly source: pg.ClientBase; readonly target: pg.ClientBase },
  migration: Migration,
  input: MigrationInput,
): Promise<Scope> {
  const selected = (await readRelations(source, input.tables, 'estimated')).filter(
    ({ kind }) => kind !== 'f',
  );
  const tables = selected.filter(({ viaRoot }) => viaRoot === null);
  const state = await readTablesState(target, migration);
  const [whole, registered] = [state !== 'used', state !== 'absent'];
  if (!whole) return { tables, relations: tables, out: new Set(), whole, registered };
  const matcher = compileSelection(input.tables);
  const views = await readNamed(source, ['v', 'm']);
  const sequences = await readNamed(source, ['S']);
  const { rows } = await source.query<{ cls: string; oid: string }>(LEFT_OUT, [
    selected.map(({ oid }) => oid),
    [...views, ...sequences].filter((one) => matcher.excludes(one)).map(({ oid }) => oid),
    input.ignore.extensions,
    input.ignore.eventTriggers,
  ]);
  const out = new Set(rows.map(({ cls, oid }) => rowKey(cls, oid)));
  const gone = new Set(rows.map(({ oid }) => oid));
  return {
    tables,
    relations: [...tables, ...views.filter(({ oid }) => !gone.has(oid))],
    ...{ out, whole, registered },
  };
}

async function readNamed(source: pg.ClientBase, kinds: readonly string[]): Promise<View[]> {
  return (await source.query<View>(VIEWS, [kinds])).rows;
}
