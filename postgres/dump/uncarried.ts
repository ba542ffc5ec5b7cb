/**
 * What a migration does not move and no entry of the archive shows: kinds that are never moved, what the input ignores,
 * tables that it does not select, and what belongs to an ignored extension. Names only, from the source's catalog.
 */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import { readExtensionMembers } from '../catalog/extension-member.ts';
import { readSchemaRights, type SchemaRights } from '../catalog/schema-right.ts';
import { readExtensions } from '../catalog/extension.ts';
import { readHiddenMappings } from '../catalog/user-mapping.ts';
import type { Member } from '../archive/left-extension.ts';
import type { LeftBehind } from '../archive/left-out.ts';
import { rolledBack } from '../connection/in-transaction.ts';
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';

/** pg_dump runs with options that exclude the first three. */
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

/**
 * What users added to tables of an extension. pg_dump attributes all of it to the extension, and no catalog tells it apart.
 * The extension's own parts were created in a transaction in which the extension got members.
 */
const ON_MEMBERS = /* sql */ `
with member as materialized (
  select d.classid, d.objid, d.refobjid as extension, d.xmin as born from pg_catalog.pg_depend d
   where d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
), on_table as (
  select m.extension, m.objid as relid from member m join pg_catalog.pg_class c on c.oid = m.objid and c.relkind in ('r', 'p')
   where m.classid = 'pg_catalog.pg_class'::regclass
), part (kind, name, relid, classid, objid) as (
  select 'INDEX', x.relname, i.indrelid, 'pg_catalog.pg_class'::regclass, x.oid
    from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
   where not exists (select from pg_catalog.pg_constraint k where k.conindid = x.oid and k.contype in ('p', 'u', 'x'))
  union all
  select 'TRIGGER', g.tgname, g.tgrelid, 'pg_catalog.pg_trigger'::regclass, g.oid from pg_catalog.pg_trigger g where not g.tgisinternal
  union all
  select 'CONSTRAINT', k.conname, k.conrelid, 'pg_catalog.pg_constraint'::regclass, k.oid from pg_catalog.pg_constraint k
   where k.contype <> 'n' and k.contype <> 't'
  union all
  select 'RULE', r.rulename, r.ev_class, 'pg_catalog.pg_rewrite'::regclass, r.oid from pg_catalog.pg_rewrite r where r.rulename <> '_RETURN'
  union all
  select 'STATISTICS', s.stxname, s.stxrelid, 'pg_catalog.pg_statistic_ext'::regclass, s.oid from pg_catalog.pg_statistic_ext s
)
select format('%s %I on %s (extension %I)', part.kind, part.name, t.relid::regclass, e.extname) as object
  from on_table t join part on part.relid = t.relid join pg_catalog.pg_extension e on e.oid = t.extension
 where e.extname <> all($1::text[])
   and not exists (select from member m where m.classid = part.classid and m.objid = part.objid)
   and not exists (select from pg_catalog.pg_depend d join member m on m.extension = t.extension and m.born = d.xmin
                    where d.classid = part.classid and d.objid = part.objid)
 order by 1`;

const LARGE_OBJECTS = /* sql */ `
select count(*) || case count(*) when 1 then ' large object' else ' large objects' end as object
  from pg_catalog.pg_largeobject_metadata having count(*) > 0`;

/** Whole objects that the input ignores by name; when the operator created the tables, these are the operator's, too. */
const LEFT_BY_NAME = /* sql */ `
select 'EXTENSION ' || quote_ident(extname) as object from pg_catalog.pg_extension where extname = any($1::text[])
union all
select 'EVENT TRIGGER ' || quote_ident(evtname) from pg_catalog.pg_event_trigger where evtname = any($2::text[])
order by 1`;

const UNSELECTED = /* sql */ `
select format('%s %s.%s', case c.relkind when 'f' then 'FOREIGN TABLE' else 'TABLE' end, n.nspname, c.relname) as object
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and c.oid not in (select unnest($1::oid[]))
   and n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
                      and d.objsubid = 0 and d.deptype = 'e')
 order by 1`;

const MEMBERS = /* sql */ `
with member (classid, objid) as (
  select d.classid, d.objid from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
   where d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e' and e.extname = any($1::text[])
)
select n.nspname as schema, p.proname as name from member m
  join pg_catalog.pg_proc p on m.classid = 'pg_catalog.pg_proc'::regclass and p.oid = m.objid
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
union
select n.nspname, c.relname from member m
  join pg_catalog.pg_class c on m.classid = 'pg_catalog.pg_class'::regclass and c.oid = m.objid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
union
select n.nspname, t.typname from member m
  join pg_catalog.pg_type t on m.classid = 'pg_catalog.pg_type'::regclass and t.oid = m.objid
  join pg_catalog.pg_namespace n on n.oid = t.typnamespace
union
select null, n.nspname from member m
  join pg_catalog.pg_namespace n on m.classid = 'pg_catalog.pg_namespace'::regclass and n.oid = m.objid
union
select null, l.lanname from member m
  join pg_catalog.pg_language l on m.classid = 'pg_catalog.pg_language'::regclass and l.oid = m.objid
union
select null, f.fdwname from member m
  join pg_catalog.pg_foreign_data_wrapper f on m.classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass and f.oid = m.objid`;

export interface Uncarried {
  readonly left: Omit<LeftBehind, 'excluded'>;
  /** For the schemas that the target has already; empty when the operator created the tables. */
  readonly schemaRights: readonly SchemaRights[];
}

/**
 * @param created whether walferry creates the tables; if not, the target's extensions and event triggers are the operator's.
 * @param selected oids of the selected tables.
 */
export async function readUncarried(
  source: pg.ClientBase,
  { ignore }: MigrationInput,
  { created, selected }: { readonly created: boolean; readonly selected: readonly number[] },
): Promise<Uncarried> {
  const names = async (sql: string, values: unknown[] = []): Promise<string[]> =>
    (await source.query<{ object: string }>(sql, values)).rows.map(({ object }) => object);
  const rows = ignore.extensionRows ? await rowsOfExtensions(source, ignore.extensions) : [];
  const left = {
    never: [
      ...(await names(NEVER_CARRIED)),
      ...(created ? await names(ON_MEMBERS, [ignore.extensions]) : []),
      ...(created ? (await readHiddenMappings(source)).map((one) => `options of ${one}`) : []),
    ],
    accepted: [
      ...(ignore.largeObjects ? await names(LARGE_OBJECTS) : []),
      ...rows,
      ...(created ? await names(LEFT_BY_NAME, [ignore.extensions, ignore.eventTriggers]) : []),
    ],
    unselected: await names(UNSELECTED, [selected]),
  };
  return { left, schemaRights: created ? await readSchemaRights(source) : [] };
}

/** Skips extensions that are ignored themselves. */
async function rowsOfExtensions(source: pg.ClientBase, left: readonly string[]): Promise<string[]> {
  const kept = (await readExtensions(source)).filter(({ name }) => !left.includes(name));
  const names = kept.map(({ name }) => name);
  const members = await rolledBack(
    source,
    () => readExtensionMembers(source, names),
    'begin read only',
  );
  return [
    ...kept.flatMap(({ name, tablesWithRows }) =>
      tablesWithRows.map((table) => `rows of ${table} (extension ${name})`),
    ),
    // Only the target shows whether the extension's own script created them.
    ...members
      .filter(({ relation, used }) => relation !== null && used)
      .map(({ name, extension }) => `contents of ${name} (member of extension ${extension})`),
  ];
}

/** Objects that belong to the extensions; empty without extensions. */
export async function readMembers(
  source: pg.ClientBase,
  extensions: readonly string[],
): Promise<Member[]> {
  if (extensions.length === 0) return [];
  return (await source.query<{ schema: string | null; name: string }>(MEMBERS, [extensions])).rows;
}
