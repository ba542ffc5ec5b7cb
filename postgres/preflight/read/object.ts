/** Objects other than tables: those not moved, those that need a right to be created, and names that must be free on the target. */
import type pg from 'pg';
import { compileSelection, type Selection, type TableName } from '../../catalog/selection.ts';

export interface ObjectFacts {
  readonly largeObjects: number;
  /** Of open sessions. */
  readonly temporaryTables: number;
  readonly publications: readonly string[];
  readonly subscriptions: readonly { readonly name: string; readonly enabled: boolean }[];
  /** Without those that the input ignores. */
  readonly eventTriggers: readonly string[];
  readonly eventTriggerOwners: readonly string[];
  /** Enabled login event triggers, also those of extensions or ignored by the input. */
  readonly loginTriggers: readonly string[];
  /** Roles whose default privileges were altered. */
  readonly defaultPrivileges: readonly string[];
  /** Names of settings of ALTER DATABASE … SET, for all roles or for some. */
  readonly databaseSettings: readonly string[];
  /** Providers of security labels. */
  readonly labelProviders: readonly string[];
}

/** An object that copySchema creates, with the catalog in which its name is unique. */
export interface NamedObject extends TableName {
  readonly catalog: 'relation' | 'type' | 'function';
  /** Of a function; empty otherwise. */
  readonly arguments: string;
}

const USERS = /* sql */ `n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry')`;

const ofExtension = (catalog: string, oid: string): string => /* sql */ `
  exists (select from pg_catalog.pg_depend x
           where x.classid = 'pg_catalog.${catalog}'::regclass and x.objid = ${oid}
             and x.objsubid = 0 and x.deptype = 'e')`;

/** @param ignored names of event triggers that are not moved. */
export async function readObjects(
  client: pg.ClientBase,
  ignored: readonly string[],
): Promise<ObjectFacts> {
  const { rows } = await client.query<ObjectFacts>(
    /* sql */ `
    select (select count(*)::float8 from pg_catalog.pg_largeobject_metadata) as "largeObjects",
           (select count(*)::int4 from pg_catalog.pg_class
             where relpersistence = 't' and relkind = 'r') as "temporaryTables",
           array(select pubname::text from pg_catalog.pg_publication order by 1) as publications,
           (select coalesce(json_agg(json_build_object('name', subname, 'enabled', subenabled) order by subname), '[]')
              from pg_catalog.pg_subscription
             where subdbid = (select oid from pg_catalog.pg_database where datname = current_database()))
             as subscriptions,
           array(select evtname::text from pg_catalog.pg_event_trigger t
                  where evtname <> all($1::text[]) and not ${ofExtension('pg_event_trigger', 't.oid')} order by 1) as "eventTriggers",
           array(select distinct r.rolname::text from pg_catalog.pg_event_trigger t
                   join pg_catalog.pg_roles r on r.oid = t.evtowner
                  where evtname <> all($1::text[]) and not ${ofExtension('pg_event_trigger', 't.oid')} order by 1) as "eventTriggerOwners",
           array(select evtname::text from pg_catalog.pg_event_trigger
                  where evtevent = 'login' and evtenabled in ('O', 'A') order by 1) as "loginTriggers",
           array(select distinct r.rolname::text from pg_catalog.pg_default_acl d
                   join pg_catalog.pg_roles r on r.oid = d.defaclrole order by 1) as "defaultPrivileges",
           array(select distinct split_part(one, '=', 1)
                   from pg_catalog.pg_db_role_setting s
                   join pg_catalog.pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) as one
                  where d.datname = current_database() order by 1) as "databaseSettings",
           array(select distinct provider from pg_catalog.pg_seclabel order by 1) as "labelProviders"`,
    [ignored],
  );
  const [row] = rows;
  if (!row) throw new Error('a SELECT without FROM returned no row');
  return row;
}

/**
 * Unselected tables, views that read them, and sequences that they own: copySchema does not create these (schema/filter.ts). A
 * sequence used by a selected table's default is still created.
 */
export async function readGone(
  client: pg.ClientBase,
  selected: readonly number[],
): Promise<number[]> {
  const { rows } = await client.query<{ oid: number }>(
    /* sql */ `
    with recursive gone (oid) as (
      select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p', 'f') and c.oid not in (select unnest($1::oid[]))
         and ${USERS} and not ${ofExtension('pg_class', 'c.oid')}
      union
      select v.oid from gone
        join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = gone.oid
         and d.classid = 'pg_catalog.pg_rewrite'::regclass
        join pg_catalog.pg_rewrite r on r.oid = d.objid
        join pg_catalog.pg_class v on v.oid = r.ev_class and v.relkind in ('v', 'm')
    ), owned (oid) as materialized (
      select s.oid from gone
        join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = gone.oid
         and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
        join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    ), used (oid) as materialized (
      -- Read once: a lookup per sequence takes minutes on a catalog without statistics.
      select u.refobjid from pg_catalog.pg_depend u join pg_catalog.pg_attrdef f on f.oid = u.objid
       where u.classid = 'pg_catalog.pg_attrdef'::regclass and u.refclassid = 'pg_catalog.pg_class'::regclass
         and f.adrelid in (select unnest($1::oid[]))
    )
    select oid::int8::float8 as oid from gone
    union
    select oid::int8::float8 from owned where oid not in (select oid from used)`,
    [selected],
  );
  return rows.map(({ oid }) => oid);
}

/**
 * Types of the tables' columns, and types that these consist of: an operator who created such a table on the target had to create
 * them first.
 */
export async function readTypesOf(
  client: pg.ClientBase,
  tables: readonly number[],
): Promise<TableName[]> {
  const { rows } = await client.query<TableName>(
    /* sql */ `
    with recursive used (oid) as (
      select a.atttypid from pg_catalog.pg_attribute a
       where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped
      union
      select part.oid from used
        join pg_catalog.pg_type t on t.oid = used.oid
        cross join lateral (
          select t.typelem as oid union select t.typbasetype
          union select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid
          union select a.atttypid from pg_catalog.pg_attribute a
                 where a.attrelid = t.typrelid and t.typtype = 'c' and a.attnum > 0 and not a.attisdropped) part
       where part.oid <> 0
    )
    select n.nspname as schema, t.typname as name
      from used join pg_catalog.pg_type t on t.oid = used.oid
      join pg_catalog.pg_namespace n on n.oid = t.typnamespace
     where ${USERS} and t.typtype in ('d', 'e', 'r', 'c')`,
    [tables],
  );
  return rows;
}

/** Sequences that columns of the tables own. */
export async function readOwnedSequences(
  client: pg.ClientBase,
  tables: readonly number[],
): Promise<number[]> {
  const { rows } = await client.query<{ oid: number }>(
    /* sql */ `
    select s.oid::int8::float8 as oid
      from pg_catalog.pg_class s
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = s.oid
       and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
     where s.relkind = 'S' and d.refobjid = any($1::oid[])`,
    [tables],
  );
  return rows.map(({ oid }) => oid);
}

/**
 * Views, sequences, indexes, types and functions that would be created in addition to the selected tables. Patterns can exclude
 * views and sequences, but no index and no sequence that a selected table needs (schema/filter.ts).
 * @param unmoved result of readGone.
 */
export async function readCreated(
  client: pg.ClientBase,
  tables: readonly number[],
  unmoved: readonly number[],
  selection: Selection,
): Promise<NamedObject[]> {
  const { rows } = await client.query<NamedObject & { needed: boolean }>(
    /* sql */ `
    with needed (oid) as materialized (
      select d.objid from pg_catalog.pg_depend d
       where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
         and d.deptype in ('a', 'i') and d.refobjsubid > 0 and d.refobjid in (select unnest($1::oid[]))
      union
      select u.refobjid from pg_catalog.pg_depend u join pg_catalog.pg_attrdef f on f.oid = u.objid
       where u.classid = 'pg_catalog.pg_attrdef'::regclass and u.refclassid = 'pg_catalog.pg_class'::regclass
         and f.adrelid in (select unnest($1::oid[]))
    )
    select 'relation' as catalog, n.nspname as schema, c.relname as name, '' as arguments,
           c.relkind in ('i', 'I', 'c') or c.oid in (select oid from needed) as needed
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where ${USERS} and not ${ofExtension('pg_class', 'c.oid')} and c.relpersistence <> 't'
       and (c.relkind in ('v', 'm', 'S', 'c') and c.oid not in (select unnest($2::oid[]))
            or c.relkind in ('i', 'I') and exists (select from pg_catalog.pg_index i
                 where i.indexrelid = c.oid and i.indrelid = any($1::oid[])))
    union all
    select 'type', n.nspname, t.typname, '', true
      from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
     where ${USERS} and t.typtype in ('d', 'e', 'r') and not ${ofExtension('pg_type', 't.oid')}
    union all
    select 'function', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid), true
      from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where ${USERS} and not ${ofExtension('pg_proc', 'p.oid')}
       -- A range type creates its constructors.
       and not exists (select from pg_catalog.pg_depend x
                        where x.classid = 'pg_catalog.pg_proc'::regclass and x.objid = p.oid and x.deptype = 'i')
     order by 1, 2, 3, 4`,
    [tables, unmoved],
  );
  const matcher = compileSelection(selection);
  return rows.flatMap(({ needed, ...one }) => (needed || !matcher.excludes(one) ? [one] : []));
}

/** The objects whose names are in use here. */
export async function readTaken(
  client: pg.ClientBase,
  wanted: readonly NamedObject[],
): Promise<NamedObject[]> {
  const { rows } = await client.query<{ at: number }>(
    /* sql */ `
    select (w.at - 1)::int4 as at
      from unnest($1::text[], $2::text[], $3::text[], $4::text[])
           with ordinality as w (catalog, schema, name, arguments, at)
      join pg_catalog.pg_namespace n on n.nspname = w.schema
     where case w.catalog
       when 'relation' then exists (select from pg_catalog.pg_class c
              where c.relnamespace = n.oid and c.relname = w.name)
       when 'type' then exists (select from pg_catalog.pg_type t
              where t.typnamespace = n.oid and t.typname = w.name)
       else exists (select from pg_catalog.pg_proc p
              where p.pronamespace = n.oid and p.proname = w.name
                and pg_catalog.pg_get_function_identity_arguments(p.oid) = w.arguments) end
     order by w.at`,
    [
      wanted.map((one) => one.catalog),
      wanted.map((one) => one.schema),
      wanted.map((one) => one.name),
      wanted.map((one) => one.arguments),
    ],
  );
  return rows.flatMap(({ at }) => wanted[at] ?? []);
}

export interface TargetObjects {
  /** Number of unselected user tables. */
  readonly otherTables: number;
  /** Enabled event triggers. */
  readonly eventTriggers: readonly string[];
  /** All event triggers, including disabled ones and those of extensions. */
  readonly eventTriggerNames: readonly string[];
  /** Whether ALTER DEFAULT PRIVILEGES adds grants to objects that our role creates. */
  readonly defaultPrivileges: boolean;
}

export async function readTargetObjects(
  client: pg.ClientBase,
  selected: readonly TableName[],
  roots: readonly TableName[],
): Promise<TargetObjects> {
  const { rows } = await client.query<TargetObjects>(
    /* sql */ `
    select (select count(*)::int4
              from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p') and c.relpersistence <> 't' and ${USERS}
               and not ${ofExtension('pg_class', 'c.oid')}
               and not exists (select from unnest($1::text[], $2::text[]) as w (schema, name)
                                where w.schema = n.nspname and w.name = c.relname)
               -- Partitions of a root count as part of it.
               and not exists (select from pg_catalog.pg_class r join pg_catalog.pg_namespace m on m.oid = r.relnamespace
                                 join unnest($3::text[], $4::text[]) as w (schema, name)
                                   on w.schema = m.nspname and w.name = r.relname
                                where c.relispartition and r.oid = pg_catalog.pg_partition_root(c.oid))) as "otherTables",
           array(select evtname::text from pg_catalog.pg_event_trigger t
                  where evtenabled <> 'D' and not ${ofExtension('pg_event_trigger', 't.oid')}
                  order by 1) as "eventTriggers",
           array(select evtname::text from pg_catalog.pg_event_trigger) as "eventTriggerNames",
           exists (select from pg_catalog.pg_default_acl d
                    where d.defaclrole = (select oid from pg_catalog.pg_roles where rolname = current_user))
             as "defaultPrivileges"`,
    [
      selected.map(({ schema }) => schema),
      selected.map(({ name }) => name),
      roots.map(({ schema }) => schema),
      roots.map(({ name }) => name),
    ],
  );
  const [row] = rows;
  if (!row) throw new Error('a SELECT without FROM returned no row');
  return row;
}
