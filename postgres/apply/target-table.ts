/**
 * A table as the target's catalog describes it, and the mapping from a change's cells to columns by position.
 *
 * Types, generated columns, identity columns and indexes are the target's: they decide what may be written and how text is
 * parsed. Read once per session and table: DDL on the target happens while the stream is stopped, and the next attempt uses a new
 * session.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { TableName } from '../catalog/selection.ts';
import { quoted } from '../catalog/table-name.ts';
import type { Cell, PlannedRelation, RowChange } from './change.ts';
import type { Image, PositionedChange } from './fold.ts';

export type Carrier = 'array' | 'text' | 'none';

export interface TargetColumn {
  readonly name: string;
  readonly quoted: string;
  /**
   * The type below all domains, without length or precision: casts to it never cut a value. The assignment to the column enforces
   * length, precision and domain checks, and fails where a cast would silently truncate.
   */
  readonly baseType: string;
  /**
   * The column of row `t`, for comparing with a value of the base type. Polymorphic operators do not accept a domain over an enum
   * as an enum (42883). The cast to the base type changes no value, and indexes remain usable.
   */
  readonly operand: string;
  /** ` collate "schema"."name"`, or empty. Comparing columns of different collations is an error. */
  readonly collate: string;
  readonly generated: boolean;
  /**
   * How many values are sent at once. `array`: as an array of the base type. `text`: as an array of text, each element cast, for
   * arrays and composites, which unnest() would expand. `none`: not at all, because a user-defined cast exists between text and
   * the type.
   */
  readonly carrier: Carrier;
  /** Whether the source has the column: the target may have more. */
  readonly planned: boolean;
  /** GENERATED ALWAYS AS IDENTITY on the target: no UPDATE can write it, though `set … = default` can change it on the source. */
  readonly fixed: boolean;
  /** Equality operator of an index that finds rows by this column alone, or undefined. */
  readonly indexed: string | undefined;
}

/** A key column with its index's equality operator (an extension's operator may not be on the search path). */
export interface KeyColumn {
  readonly position: number;
  readonly equals: string;
}

export class TargetTable {
  /** Small number, unique in the session, for names of staging tables and prepared statements. */
  readonly number: number;
  readonly relation: PlannedRelation;
  /** Quoted schema and name on the target: the same for all partitions whose rows go through one root. */
  readonly qualified: string;
  readonly partitioned: boolean;
  readonly columns: readonly TargetColumn[];
  readonly key: readonly KeyColumn[] | null;
  /** Whether the target has a unique index on the key that lets one statement match each row exactly once. */
  readonly foldable: boolean;
  /** The role whose defaults apply where the table computes something. */
  readonly owner: string;
  readonly #positions: ReadonlyMap<string, number>;

  constructor(
    number: number,
    relation: PlannedRelation,
    partitioned: boolean,
    columns: readonly TargetColumn[],
    key: readonly KeyColumn[] | null,
    foldable: boolean,
    owner: string,
  ) {
    this.number = number;
    this.relation = relation;
    const { schema, name } = destinationOf(relation);
    this.qualified = quoted({ schema, name });
    this.partitioned = partitioned;
    this.columns = columns;
    this.key = key;
    this.foldable = foldable;
    this.owner = owner;
    this.#positions = new Map(columns.map((column, position) => [column.name, position]));
  }

  /**
   * The table for UPDATE and DELETE: with `only`, because a parent's key can also occur in a child table. Without it for a
   * partitioned table, which holds no rows itself.
   */
  get only(): string {
    return this.partitioned ? this.qualified : `only ${this.qualified}`;
  }

  /** Cells by column position. Throws SchemaDrift for a column that the target does not have. */
  image(cells: readonly Cell[]): Image {
    const image = new Array<string | null | undefined>(this.columns.length).fill(undefined);
    for (let index = 0; index < cells.length; index += 1) {
      const cell = cells[index];
      if (cell === undefined) continue;
      // Source and target usually have their columns in the same order.
      const position =
        this.columns[index]?.name === cell.name ? index : this.#positions.get(cell.name);
      if (position === undefined) {
        throw new MigrationError(
          'SchemaDrift',
          `the target table ${tableName(destinationOf(this.relation))} has no column ${cell.name}`,
          { table: tableName(this.relation), column: cell.name },
        );
      }
      image[position] = this.#written(position, cell.value);
    }
    return image;
  }

  positioned(change: RowChange): PositionedChange {
    if (change.kind === 'insert') return { kind: 'insert', columns: this.image(change.columns) };
    const identity = this.image(change.identity);
    if (change.kind === 'delete') return { kind: 'delete', identity };
    return { kind: 'update', columns: this.image(change.columns), identity };
  }

  /** wal2json omits the `\x` of bytea; without it the target would parse the digits as the bytes themselves. */
  #written(position: number, value: string | null): string | null {
    if (value === null || this.columns[position]?.baseType !== 'bytea') return value;
    return value.startsWith('\\x') ? value : `\\x${value}`;
  }
}

/** The target table of a relation of the plan. */
export function destinationOf({ schema, name, destination }: PlannedRelation): TableName {
  return destination ?? { schema, name };
}

/** `schema.name`, as in messages and failure details. */
export function tableName(relation: { readonly schema: string; readonly name: string }): string {
  return `${relation.schema}.${relation.name}`;
}

const COLUMNS = /* sql */ `
  select a.attnum, a.attname as name, c.relkind = 'p' as partitioned, c.oid,
         pg_catalog.pg_get_userbyid(c.relowner) as owner,
         a.attgenerated <> '' as generated, a.attidentity = 'a' as always,
         (with recursive d (oid, typbasetype) as (
            select t.oid, t.typbasetype from pg_catalog.pg_type t where t.oid = a.atttypid
            union all
            select t.oid, t.typbasetype from d join pg_catalog.pg_type t on t.oid = d.typbasetype)
          select pg_catalog.format_type(d.oid, -1) from d where d.typbasetype = 0) as base_type,
         (select t.typtype = 'd' from pg_catalog.pg_type t where t.oid = a.atttypid) as domain,
         (with recursive d (oid, typbasetype) as (
            select t.oid, t.typbasetype from pg_catalog.pg_type t where t.oid = a.atttypid
            union all
            select t.oid, t.typbasetype from d join pg_catalog.pg_type t on t.oid = d.typbasetype)
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
      `the target has no table ${tableName(there)}, but the stream brings changes to it`,
      { table: tableName(relation) },
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
        `the target table ${tableName(there)} has no column ${name}, which is part of the key`,
        { table: tableName(relation), column: name },
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
