/**
 * Every type that the museum has values of, as columns for tables of other tests: its traps make the types on both sides, and the values
 * come from their tables. A type that is new in the museum is new here, too.
 */
import path from 'node:path';
import type pg from 'pg';
import { connectTo } from '../database.ts';
import { readMuseum } from './folder.ts';
import { missingFor } from './need.ts';
import { Stage } from './stage.ts';
import type { Trap } from './trap.ts';

/** The file that makes lists, domains and composites of the type of each table `X_value`. */
const DISGUISES = 'use/value_tables.sql';
const FOLDER = path.join(import.meta.dirname, '../../museum');
/** Longer values are the business of the museum: a row with all types would be megabytes long. */
const MOST_CHARACTERS = 500;

export interface MuseumColumn {
  readonly name: string;
  /** For DDL, with its schema. */
  readonly type: string;
  /** Numbers that wal2json before 2.6 sends as null when they are special: they can identify no row. */
  readonly exposed: boolean;
  /** The table that has values of it, and the column there. */
  readonly from: { readonly table: string; readonly column: string };
}

/** Traps of values whose types these servers have, and the names of the others. */
export async function valueTraps(
  source: pg.Client,
  target: pg.Client,
): Promise<{ traps: readonly Trap[]; missing: readonly string[] }> {
  const traps: Trap[] = [];
  const missing: string[] = [];
  for (const trap of readMuseum(FOLDER, 0).traps) {
    const isOfValues = trap.sections.schema.some(
      (step) => step.kind === 'sql' && step.from === DISGUISES,
    );
    if (!isOfValues || trap.name === 'random_value') continue;
    const why = await missingFor(trap, source, target);
    if (why === null) traps.push(trap);
    else missing.push(`${trap.name}: ${why}`);
  }
  return { traps, missing };
}

/** Makes the types, and the tables that hold values of them, each in its trap's schema; the roles of stage.ts are there. */
export async function makeValues(traps: readonly Trap[], service: string): Promise<void> {
  for (const trap of traps) {
    await using stage = new Stage(trap, service);
    await stage.begin();
    await stage.run(trap.sections.schema);
  }
}

/** Makes the types alone, as they are where {@link makeValues} made them. */
export async function makeTypes(
  traps: readonly Trap[],
  source: pg.Client,
  service: string,
): Promise<void> {
  const { rows } = await source.query<{ ddl: string }>(DISGUISE_TYPES, [
    traps.map(({ name }) => name),
  ]);
  await using target = await connectTo(service);
  for (const trap of traps) {
    await using stage = new Stage(trap, service);
    await stage.begin();
    await stage.run(
      trap.sections.schema.filter(
        (step) => step.kind === 'sql' && step.from !== DISGUISES && !/^insert\b/i.test(step.sql),
      ),
    );
  }
  await target.query(rows.map(({ ddl }) => ddl).join(''));
}

/**
 * One column for each type, and for each type one of its disguises (a domain, a composite, arrays of them), in turn.
 * @throws Error for a type without a value that is short enough.
 */
export async function museumColumns(
  traps: readonly Trap[],
  client: pg.Client,
): Promise<MuseumColumn[]> {
  const { rows } = await client.query<Found>(COLUMNS, [traps.map(({ name }) => name)]);
  const columns = new Map<string, MuseumColumn>();
  let turn = 0;
  for (const table of new Set(rows.map((row) => row.table))) {
    const [plain, ...disguises] = rows.filter((row) => row.table === table);
    if (plain?.column !== 'v') throw new Error(`${table} has no column v`);
    turn += 1;
    const disguise = disguises[turn % Math.max(1, disguises.length)];
    for (const { column, type, exposed } of disguise ? [plain, disguise] : [plain]) {
      const name = `c${columns.size}`;
      if (!columns.has(type)) columns.set(type, { name, type, exposed, from: { table, column } });
    }
  }
  return [...columns.values()];
}

/**
 * Makes a table of that name with so many rows (`n` counts them) whose columns hold the museum's values: each row another value of each
 * type, or null.
 */
export async function makePool(
  table: string,
  columns: readonly MuseumColumn[],
  rows: number,
  client: pg.Client,
): Promise<void> {
  const list = columns.map(({ name, type }) => `${name} ${type}`).join(', ');
  await client.query(`create table ${table} (n int primary key, ${list});
    insert into ${table} (n) select generate_series(0, ${rows - 1})`);
  const empty: string[] = [];
  for (const { name, type, from } of columns) {
    const { rowCount } = await client.query(/* sql */ `
      with found as (
        select ${from.column} as value, row_number() over (order by id) - 1 as at, count(*) over () as of
          from ${from.table}
         where ${from.column}::text is not null and length(${from.column}::text) <= ${MOST_CHARACTERS})
      update ${table} set ${name} = value from found where at = n % (of + 1)`);
    if (rowCount === 0) empty.push(type);
  }
  if (empty.length > 0) throw new Error(`no short value of ${empty.join(', ')}`);
}

interface Found {
  readonly table: string;
  readonly column: string;
  readonly type: string;
  readonly exposed: boolean;
}

/** Columns of the tables `X_value` but their keys, `v` first. The path is empty of what types are named by. */
const COLUMNS = /* sql */ `
  with pinned as materialized (select set_config('search_path', '', false))
  select format('%I.%I', n.nspname, c.relname) as table, quote_ident(a.attname) as column,
         format_type(a.atttypid, a.atttypmod) as type, t.typname in ('float4', 'float8', 'numeric') as exposed
    from pinned, pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid
    join pg_catalog.pg_type t on t.oid = a.atttypid
   where n.nspname = any($1) and c.relname like '%\_value' and c.relkind = 'r'
     and a.attnum > 0 and a.attname <> 'id' and not a.attisdropped
   order by 1, a.attname <> 'v', a.attnum`;

/** As {@link DISGUISES} makes them. */
const DISGUISE_TYPES = /* sql */ `
  with pinned as materialized (select set_config('search_path', '', false))
  select format('create domain %1$I.%2$I as %3$s; create type %1$I.%4$I as (a %3$s, b %1$I.%2$I, c text);',
                n.nspname, part.name || '_domain', format_type(a.atttypid, a.atttypmod), part.name || '_pair') as ddl
    from pinned, pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'v'
   cross join lateral (select substring(c.relname from '^(.*)_value$') as name) part
   where n.nspname = any($1) and c.relname like '%\_value' and c.relkind = 'r'`;
