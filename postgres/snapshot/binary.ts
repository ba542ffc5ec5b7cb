/**
 * Which tables may be copied as binary: those whose columns have, on both servers, one and the same type of a short list. Binary is
 * exact and cheaper, but it is the server's own form: a composite or a range carries the OIDs of its types, money means another
 * amount under another locale, and a type of an extension may change its form with its version. Those go as text.
 */
import pg from 'pg';
import type { TableName } from '../catalog/selection.ts';
import { queryTogether } from '../connection/together.ts';
import { quoted } from '../catalog/table-name.ts';

/**
 * Built-in types whose send and receive functions have kept their form in all supported versions (src/backend/utils/adt). Arrays of
 * them carry the element's OID, which is fixed for built-in types.
 */
const SHARED = [
  ...['bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'oid', 'pg_lsn'],
  ...['text', 'varchar', 'bpchar', 'name', 'char', 'bytea', 'uuid', 'json', 'jsonb'],
  ...['date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval'],
  ...['inet', 'cidr', 'macaddr', 'macaddr8', 'bit', 'varbit'],
  ...['point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle'],
];

/** From 17 on an infinite interval is the largest and smallest of its fields; an older server takes these for a finite one. */
const INTERVAL = /* sql */ `case when pg_catalog.current_setting('server_version_num')::int4 >= 170000 then ' with infinity' else '' end`;

/**
 * SQL for the binary form of each column that COPY moves, by name: a text that is equal on both sides when the forms are. Null for a
 * column that has to go as text. int2vector has elements as well and is no array: it is not known by them. An enum is sent as its label; a domain as its base type.
 * @param relation expression for the table's oid.
 */
export function binaryForms(relation: string): string {
  const list = SHARED.map((name) => `'${name}'`).join(', ');
  return /* sql */ `
    (with recursive below as (
       select a.attname, a.attnum, a.atttypid as type, 0 as depth
         from pg_catalog.pg_attribute a
        where a.attrelid = ${relation} and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
       union all
       select b.attname, b.attnum, t.typbasetype, b.depth + 1
         from below b join pg_catalog.pg_type t on t.oid = b.type and t.typtype = 'd')
     select pg_catalog.jsonb_object_agg(b.attname,
              case when t.typtype = 'e' then 'enum'
                   when e.typname in (${list}) and e.typnamespace = 'pg_catalog'::regnamespace
                     then e.typname || case when e.oid <> t.oid then '[]' else '' end || case when e.typname = 'interval' then ${INTERVAL} else '' end end)
       from (select distinct on (attnum) * from below order by attnum, depth desc) b
       join pg_catalog.pg_type t on t.oid = b.type
       join pg_catalog.pg_type e on e.oid = coalesce((select one.oid from pg_catalog.pg_type one where one.oid = t.typelem and one.typarray = t.oid), t.oid))`;
}

/** Binary forms by column name. */
export type BinaryForms = Readonly<Record<string, string | null>>;

/**
 * Locks the target's table against DDL until the transaction ends, and compares: a column that became float8 under the copy would
 * take the bytes of an int8 for a number of its own.
 */
export async function sharesBinaryForm(
  target: pg.ClientBase,
  destination: TableName,
  columns: readonly string[],
  source: BinaryForms,
): Promise<boolean> {
  if (columns.length === 0 || columns.some((name) => (source[name] ?? null) === null)) return false;
  const table = quoted(destination);
  const [row] = await queryTogether<{ forms: BinaryForms | null }>(
    target,
    /* sql */ `
    lock table ${table} in row exclusive mode;
    select ${binaryForms(`${pg.escapeLiteral(table)}::regclass`)} as forms`,
  );
  const forms = row?.forms ?? {};
  return columns.every((name) => forms[name] === source[name]);
}
