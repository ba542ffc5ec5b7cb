/**
 * Objects that copySchema creates, and those of their names that the target has. The archive lists the same objects, but only
 * where there can be a dump; see unmoved.ts.
 */
import type pg from 'pg';
import { isViaRoot } from '../../catalog/row-destination.ts';
import { compileSelection, type Selection, type TableName } from '../../catalog/selection.ts';
import { keyOfName } from '../../catalog/table-name.ts';
import { refuses } from '../check.ts';
import { ofSource, shared, type SourceReading, type TargetReading } from '../reading.ts';
import { relations } from './selected.ts';
import { unmoved } from './unmoved.ts';
import { ofExtension, USERS } from './user-object.ts';

/** With the catalog in which the name is unique. */
export interface NamedObject extends TableName {
  readonly catalog: 'relation' | 'type' | 'function';
  /** Of a function; empty otherwise. */
  readonly arguments: string;
}

export const CLASH = {
  'target-clash': refuses('Objects on the target have the same names as objects that are moved.'),
};

/** Without types of the tables that go through a root: the operator had to create them first. */
export const created = shared(async (of: SourceReading): Promise<NamedObject[]> => {
  const selected = await relations(of);
  const oids = (some: typeof selected) => some.map(({ oid }) => oid);
  const own = oids(selected.filter(({ viaRoot }) => viaRoot === null));
  const rooted = oids(selected.filter(({ viaRoot }) => viaRoot !== null));
  const given = await readTypesOf(of.client, oids(selected.filter(isViaRoot)));
  const types = new Set(given.map(keyOfName));
  const absent = [...(await unmoved(of)), ...(await readOwnedSequences(of.client, rooted))];
  const all = await readCreated(of.client, own, absent, of.input.tables);
  return all.filter((one) => one.catalog === 'function' || !types.has(keyOfName(one)));
});

export const taken = shared(async (of: TargetReading) =>
  readTaken(of.client, await ofSource(of, created, [])),
);

/**
 * Types of the tables' columns, and types that these consist of: an operator who created such a table on the target had to create
 * them first.
 */
async function readTypesOf(client: pg.ClientBase, tables: readonly number[]): Promise<TableName[]> {
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
async function readOwnedSequences(
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
 * views and sequences, but no index and no sequence that a selected table needs (archive/archive-filter.ts).
 * @param unmoved those of unmoved.ts.
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
async function readTaken(
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
