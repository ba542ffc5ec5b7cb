/**
 * Columns whose values name objects (regclass, regtype and similar types). Such a value is sent as a name, which the target
 * resolves when the row arrives: the named object must exist by then.
 */
import pg from 'pg';
import type { Relation } from '../../catalog/relation.ts';
import type { TableName } from '../../catalog/selection.ts';
import { keyOfName, quoted } from '../../catalog/table-name.ts';
import { underAnyPath } from '../../session/planning.ts';

export interface ObjectNameColumn extends TableName {
  readonly column: string;
  readonly type: string;
  /**
   * Relations that its values name and that copySchema does not create before the rows: indexes, TOAST tables, unselected
   * relations. Null: not read (another type, a large table, no right to read it, too many columns).
   */
  readonly named: readonly TableName[] | null;
}

/** Types whose text form is an object's name. */
const NAME_TYPES = /* sql */ `array['regclass', 'regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper',
  'regoperator', 'regproc', 'regprocedure', 'regrole', 'regtype']::name[]`;
const REGCLASS = 2205;
/** Larger tables (64 MB) are not read, so that preflight does not scan a whole database. */
const MOST_PAGES = 8192;
/** Each column needs a query. */
const MOST_COLUMNS = 200;
/** Distinct names per column. */
const MOST_NAMES = 1000;

/**
 * Columns of the selected tables that hold such names, including arrays, domains and composites.
 * @param unmoved result of `readGone`: never created on the target.
 * @param closed tables that the role may not read, or with rows hidden by policies: reading them fails.
 */
export async function readObjectNames(
  client: pg.ClientBase,
  relations: readonly Relation[],
  unmoved: readonly number[],
  closed: readonly TableName[],
): Promise<ObjectNameColumn[]> {
  const tables = relations.filter(({ kind }) => kind === 'r');
  const { rows } = await client.query<{ oid: number; column: string; type: string }>(
    /* sql */ `
    with recursive inside (part, whole) as (
      select t.typelem, t.oid from pg_catalog.pg_type t where t.typcategory = 'A'
      union all select t.typbasetype, t.oid from pg_catalog.pg_type t where t.typtype = 'd'
      union all select a.atttypid, c.reltype from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
       where a.attnum > 0 and not a.attisdropped and c.reltype <> 0
    ), holding (typ) as (
      select t.oid from pg_catalog.pg_type t
       where t.typnamespace = 'pg_catalog'::regnamespace and t.typname = any(${NAME_TYPES})
      union select i.whole from holding h join inside i on i.part = h.typ
    )
    select a.attrelid::int8::float8 as oid, a.attname as column, pg_catalog.format_type(a.atttypid, a.atttypmod) as type
      from pg_catalog.pg_attribute a join holding h on h.typ = a.atttypid
     where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped
     order by a.attrelid, a.attnum`,
    [tables.map(({ oid }) => oid)],
  );
  const selected = relations.map(({ oid }) => oid);
  const byOid = new Map(tables.map((table) => [table.oid, table]));
  const shut = new Set(closed.map(keyOfName));
  const found: ObjectNameColumn[] = [];
  let read = 0;
  for (const { oid, column, type } of rows) {
    const table = byOid.get(oid);
    if (!table) continue;
    const { schema, name } = table;
    const plain = table.columns.find((one) => one.name === column)?.baseTypeOid === REGCLASS;
    const open =
      plain && table.pages <= MOST_PAGES && !shut.has(keyOfName(table)) && read < MOST_COLUMNS;
    if (open) read += 1;
    const named = open ? await readNamed(client, table, column, selected, unmoved) : null;
    found.push({ schema, name, column, type, named });
  }
  return found;
}

async function readNamed(
  client: pg.ClientBase,
  { schema, name }: TableName,
  column: string,
  selected: readonly number[],
  unmoved: readonly number[],
): Promise<TableName[]> {
  const from = quoted({ schema, name });
  const statement = /* sql */ `
    select distinct n.nspname as schema, c.relname as name
      from only ${from} t join pg_catalog.pg_class c on c.oid = t.${pg.escapeIdentifier(column)}::regclass::oid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname not in ('pg_catalog', 'information_schema')
       and (c.relkind in ('i', 'I', 't') or c.relkind in ('r', 'p', 'f') and c.oid not in (select unnest($1::oid[]))
            or c.oid = any($2::oid[]))
     limit ${MOST_NAMES}`;
  const { rows } = await underAnyPath(client, () =>
    client.query<TableName>(statement, [selected, unmoved]),
  );
  return rows;
}

/** The relations that this database lacks. */
export async function readAbsent(
  client: pg.ClientBase,
  wanted: readonly TableName[],
): Promise<TableName[]> {
  const { rows } = await client.query<TableName>(
    /* sql */ `
    select distinct w.schema, w.name from unnest($1::text[], $2::text[]) as w (schema, name)
     where not exists (select from pg_catalog.pg_class c
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname = w.schema and c.relname = w.name)
     order by 1, 2`,
    [wanted.map(({ schema }) => schema), wanted.map(({ name }) => name)],
  );
  return rows;
}
