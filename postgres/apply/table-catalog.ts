/** Reads a table's columns and indexes from the catalog: of the target to write rows, of the source to find them again. */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf } from '../catalog/table-name.ts';
import type { PlannedRelation } from './change.ts';
import {
  destinationOf,
  TargetTable,
  type Carrier,
  type KeyColumn,
  type TargetColumn,
} from './target-table.ts';

/** `d`: the type of column `a` and the types below it, if it is a domain. */
const DOMAINS = /* sql */ `with recursive d (oid, typbasetype) as (
            select t.oid, t.typbasetype from pg_catalog.pg_type t where t.oid = a.atttypid
            union all
            select t.oid, t.typbasetype from d join pg_catalog.pg_type t on t.oid = d.typbasetype)`;

const COLUMNS = /* sql */ `
  select a.attnum, a.attname as name, c.relkind = 'p' as partitioned, c.oid,
         pg_catalog.pg_get_userbyid(c.relowner) as owner,
         a.attgenerated <> '' as generated, a.attidentity = 'a' as always,
         (${DOMAINS}
          select pg_catalog.format_type(d.oid, -1) from d where d.typbasetype = 0) as base_type,
         (select t.typtype = 'd' from pg_catalog.pg_type t where t.oid = a.atttypid) as domain,
         (${DOMAINS}
          select case when t.typarray <> 0 and t.typdelim = ',' and t.typtype not in ('c', 'p') then 'array'
                      when not exists (select from pg_catalog.pg_cast k
                                        where k.casttarget = t.oid and k.castsource = 'pg_catalog.text'::regtype) then 'text'
                      else 'none' end
            from d join pg_catalog.pg_type t on t.oid = d.oid where d.typbasetype = 0) as carrier,
         case when a.attcollation <> 0 then
           (select pg_catalog.format(' collate %I.%I', n.nspname, l.collname)
              from pg_catalog.pg_collation l join pg_catalog.pg_namespace n on n.oid = l.collnamespace
             where l.oid = a.attcollation and l.collname <> 'default') end as collate
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace s on s.oid = c.relnamespace
    left join pg_catalog.pg_attribute a
      on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   where s.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
   order by a.attnum`;

/** Indexes whose equality a WHERE clause can use, with their key columns and operators. */
const INDEXES = /* sql */ `
  select i.indexrelid, m.amname, i.indisunique and i.indimmediate and i.indpred is null
           and i.indexprs is null as identifies,
         array_agg(k.attnum::int order by k.n) as columns,
         array_agg((select pg_catalog.format('operator(%I.%s)', n.nspname, o.oprname)
                      from pg_catalog.pg_opclass oc
                      join pg_catalog.pg_amop ao on ao.amopfamily = oc.opcfamily
                       and ao.amoplefttype = oc.opcintype and ao.amoprighttype = oc.opcintype
                       and ao.amopstrategy = case m.amname when 'btree' then 3 else 1 end
                      join pg_catalog.pg_operator o on o.oid = ao.amopopr
                      join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
                     where oc.oid = i.indclass[k.n - 1]) order by k.n) as operators,
         bool_and(i.indcollation[k.n - 1] = coalesce(a.attcollation, 0)) as same_collation
    from pg_catalog.pg_index i
    join pg_catalog.pg_class x on x.oid = i.indexrelid
    join pg_catalog.pg_am m on m.oid = x.relam and m.amname in ('btree', 'hash')
    cross join lateral generate_series(1, i.indnkeyatts) as g (n)
    cross join lateral (select g.n::int as n, i.indkey[g.n - 1] as attnum) k
    left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
   where i.indrelid = $1 and i.indisvalid and i.indpred is null
   group by i.indexrelid, m.amname, i.indisunique, i.indimmediate, i.indpred, i.indexprs
   order by i.indexrelid`;

interface ColumnRow {
  attnum: number | null;
  name: string;
  partitioned: boolean;
  owner: string;
  oid: number;
  generated: boolean;
  always: boolean;
  base_type: string;
  domain: boolean;
  carrier: Carrier;
  collate: string | null;
}

interface IndexRow {
  identifies: boolean;
  columns: number[];
  operators: (string | null)[];
  same_collation: boolean;
}

function operandOf({ name, domain, base_type: type }: ColumnRow): string {
  const column = `t.${pg.escapeIdentifier(name)}`;
  return domain ? `${column}::${type}` : column;
}

/** PostgreSQL's limit; a staging table holds the key twice. */
const MOST_COLUMNS = 1_600;

/**
 * Reads a table from the target's catalog, on a session with an empty search path, so that type names are valid under any path.
 * @throws MigrationError `UnknownRelation` when the target has no such table, `SchemaDrift` when a key column is missing.
 */
export async function readTable(
  client: pg.Client,
  relation: PlannedRelation,
  number: number,
): Promise<TargetTable> {
  const there = destinationOf(relation);
  const { rows } = await client.query<ColumnRow>(COLUMNS, [there.schema, there.name]);
  const first = rows[0];
  if (!first) {
    throw new MigrationError(
      'UnknownRelation',
      `the target has no table ${nameOf(there)}, but the stream brings changes to it`,
      { table: nameOf(relation) },
    );
  }
  const attributes = rows.filter((row) => row.attnum !== null);
  const indexes = (await client.query<IndexRow>(INDEXES, [first.oid])).rows;
  const planned = new Map(relation.columns.map((column) => [column.name, column]));
  const columns = attributes.map((row): TargetColumn => ({
    name: row.name,
    quoted: pg.escapeIdentifier(row.name),
    baseType: row.base_type,
    operand: operandOf(row),
    collate: row.collate ?? '',
    generated: row.generated,
    carrier: row.carrier,
    planned: planned.has(row.name),
    fixed: row.always,
    indexed: indexes.find((index) => index.columns[0] === row.attnum)?.operators[0] ?? undefined,
  }));

  const numbers = new Map(attributes.map((row) => [row.name, row.attnum ?? 0]));
  const unique = relation.key && identifying(indexes, relation.key, numbers);
  const key = relation.key?.map((name): KeyColumn => {
    const attnum = numbers.get(name);
    if (attnum === undefined) {
      throw new MigrationError(
        'SchemaDrift',
        `the target table ${nameOf(there)} has no column ${name}, which is part of the key`,
        { table: nameOf(relation), column: name },
      );
    }
    return {
      position: columns.findIndex((column) => column.name === name),
      equals: operatorOf(attnum, unique ? [unique, ...indexes] : indexes) ?? '=',
    };
  });
  const foldable =
    unique != null && key !== undefined && columns.length + key.length <= MOST_COLUMNS;
  const { partitioned, owner } = first;
  return new TargetTable(number, relation, partitioned, columns, key ?? null, foldable, owner);
}

/**
 * The index that identifies a row: unique, immediate, not partial, using the columns' own equality, on all or some of the key's
 * columns. The whole key then also matches at most one row. A table partitioned differently has another key.
 */
function identifying(
  indexes: readonly IndexRow[],
  key: readonly string[],
  numbers: ReadonlyMap<string, number>,
): IndexRow | undefined {
  const given = key.map((name) => numbers.get(name) ?? 0);
  const fitting = indexes.filter(
    (index) =>
      index.identifies &&
      index.same_collation &&
      index.columns.every((attnum) => given.includes(attnum)),
  );
  return fitting.find(({ columns }) => columns.length === key.length) ?? fitting[0];
}

/** Equality operator of an index on the column: an extension's type may be outside the search path. */
function operatorOf(attnum: number, indexes: readonly IndexRow[]): string | undefined {
  for (const { columns, operators } of indexes) {
    const operator = operators[columns.indexOf(attnum)];
    if (operator != null) return operator;
  }
  return undefined;
}

export interface SourceKeyColumn {
  /** Type below all domains, without length or precision. */
  readonly baseType: string;
  readonly operand: string;
  readonly equals: string;
}

/** How to find a row of the source table by the values of these columns, in their order. */
export async function readSourceKey(
  client: pg.Client,
  { schema, name }: TableName,
  names: readonly string[],
): Promise<SourceKeyColumn[]> {
  const { rows } = await client.query<ColumnRow>(COLUMNS, [schema, name]);
  const indexes = (await client.query<IndexRow>(INDEXES, [rows[0]?.oid ?? 0])).rows;
  return names.map((column) => {
    const row = rows.find((one) => one.attnum !== null && one.name === column);
    // Dropped since the change: the read then fails (42703) instead of finding no row.
    if (!row) return { baseType: 'text', operand: `t.${pg.escapeIdentifier(column)}`, equals: '=' };
    const equals = operatorOf(row.attnum ?? 0, indexes) ?? '=';
    return { baseType: row.base_type, operand: operandOf(row), equals };
  });
}
