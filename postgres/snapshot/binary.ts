/**
 * Which tables can be copied in binary format: those whose columns have the same type on both servers, from a short list. Binary
 * is exact and cheaper, but server-specific: a composite or a range contains the OIDs of its types, money means another amount
 * under another locale, and an extension's type may change its format with its version. Those are copied as text.
 */
import pg from 'pg';
import type { TableName } from '../catalog/selection.ts';
import { queryTogether } from '../session/query-together.ts';
import { quoted } from '../catalog/table-name.ts';

/**
 * Built-in types whose send and receive functions use the same format in all supported versions (src/backend/utils/adt). Their
 * arrays contain the element's OID, which is fixed for built-in types.
 */
const SHARED = [
  ...['bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'oid', 'pg_lsn'],
  ...['text', 'varchar', 'bpchar', 'name', 'char', 'bytea', 'uuid', 'json', 'jsonb'],
  ...['date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval'],
  ...['inet', 'cidr', 'macaddr', 'macaddr8', 'bit', 'varbit'],
  ...['point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle'],
];

/** From 17 on infinite intervals are sent as the extreme values of all fields, which older servers read as a finite interval. */
const INTERVAL = /* sql */ `case when pg_catalog.current_setting('server_version_num')::int4 >= 170000 then ' with infinity' else '' end`;

/**
 * SQL: the binary format of each column that COPY moves, by name, as a text that is equal on both sides if the formats are. Null
 * for a column that must be copied as text. int2vector has an element type but is not an array, so typelem alone does not decide.
 * An enum is sent as its label, a domain as its base type.
 * @param relation SQL expression for the table's oid.
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

/** Binary formats by column name. */
export type BinaryForms = Readonly<Record<string, string | null>>;

/**
 * Locks the target's table against DDL until the transaction ends, then compares: a column that became float8 during the copy
 * would read the bytes of an int8 as a float8.
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
