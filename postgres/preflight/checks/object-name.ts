/**
 * Columns that hold object names (regclass and similar types). The copy and the stream send the name, and the target resolves it:
 * an unknown name stops them in the middle of a table.
 */
import pg from 'pg';
import { keyOfName, quoted } from '../../catalog/table-name.ts';
import { counted, identifier, list, nameOf, sqlName } from '../wording.ts';
import { defineCheck, raising, refusesOrWarns } from '../check.ts';
import type { TableName } from '../../catalog/selection.ts';
import { underAnyPath } from '../../session/planning.ts';
import { rowSecurity } from '../facts/hidden-rows.ts';
import { relations } from '../facts/selected.ts';
import { unmoved } from '../facts/unmoved.ts';
import { unreadable } from '../facts/unreadable.ts';
import { ofSource, shared, type SourceReading, type TargetReading } from '../reading.ts';

const { codes, error, warning } = raising({
  'object-names': refusesOrWarns(
    'Columns hold object names (regclass and similar types), which the target resolves; an error if those objects will be missing there.',
  ),
});

const objectNames = shared(readObjectNames);

export const objectName = defineCheck({
  codes,
  source: { objectNames },
  target: { absentRelations: readAbsent },
  find: ({ source, target }) => {
    if (source === null || source.objectNames.length === 0) return [];
    const absent = new Set(target?.absentRelations.map(keyOfName));
    const lost = source.objectNames
      .map((column) => ({
        column,
        count: (column.named ?? []).filter((one) => absent.has(keyOfName(one))).length,
      }))
      .filter(({ count }) => count > 0);
    const known = new Set(lost.map(({ column }) => column));
    const others = source.objectNames.filter((one) => !known.has(one));
    const [first] = lost;
    return [
      first &&
        error(
          'object-names',
          `values of these columns name relations that the target will not have when the rows are copied (indexes are built after the rows, unselected relations never): ${list(
            lost.map(({ column, count }) => `${columnOf(column)}: ${counted(count, 'name')}`),
          )}; the copy would stop at them (CopyFailed)`,
          `Change or delete those rows, change the column to text, exclude the table, or create the tables with their indexes on the target beforehand. To list the names, on the source: select distinct ${identifier(first.column.column)} from ${sqlName(first.column)};`,
        ),
      others.length > 0 &&
        warning(
          'object-names',
          `values of these columns name database objects, and the target resolves each name when its row arrives: ${list(others.map(columnOf))}`,
          'If the target lacks a named object (an index that is not built yet, a role, an excluded object), the copy waits (CopyFailed) or the stream stops (ChangeFailed). Create the object there, or change the row on the source.',
        ),
    ];
  },
});

function columnOf(column: ObjectNameColumn): string {
  return `${nameOf(column)}.${column.column} (${column.type})`;
}

interface ObjectNameColumn extends TableName {
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

/** Columns of the selected tables that hold such names, including arrays, domains and composites. */
async function readObjectNames(of: SourceReading): Promise<ObjectNameColumn[]> {
  const { client } = of;
  const selection = await relations(of);
  const tables = selection.filter(({ kind }) => kind === 'r');
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
  const selected = selection.map(({ oid }) => oid);
  const absent = await unmoved(of);
  const byOid = new Map(tables.map((table) => [table.oid, table]));
  // Reading them fails.
  const shut = new Set([...(await unreadable(of)), ...(await rowSecurity(of))].map(keyOfName));
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
    const named = open ? await readNamed(client, table, column, selected, absent) : null;
    found.push({ schema, name, column, type, named });
  }
  return found;
}

async function readNamed(
  client: pg.ClientBase,
  { schema, name }: TableName,
  column: string,
  selected: readonly number[],
  absent: readonly number[],
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
    client.query<TableName>(statement, [selected, absent]),
  );
  return rows;
}

/** Relations that values of the source name and the target lacks. */
async function readAbsent(of: TargetReading): Promise<TableName[]> {
  const wanted = (await ofSource(of, objectNames, [])).flatMap(({ named }) => named ?? []);
  const { rows } = await of.client.query<TableName>(
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
