/**
 * Every type that the fidelity suite has values of, as columns for tables of other tests: its cases create the types
 * on both sides, and the values come from their tables. A type added to the fidelity suite is used here, too.
 */
import path from 'node:path';
import type pg from 'pg';
import { connectTo } from '../database.ts';
import { readFidelity } from './folder.ts';
import { missingFor } from './need.ts';
import { Stage } from './stage.ts';
import type { FidelityCase } from './case.ts';

/** The file that creates arrays, domains and composites of the type of each table `X_value`. */
const DISGUISES = 'use/value_tables.sql';
const FOLDER = path.join(import.meta.dirname, '../../fidelity');
/** Longer values are left to the fidelity suite: a row with all types would be megabytes long. */
const MOST_CHARACTERS = 500;

export interface FidelityColumn {
  readonly name: string;
  /** For DDL, with its schema. */
  readonly type: string;
  /**
   * Numbers that wal2json before 2.6 sends as null when they are not finite: they cannot identify a row.
   */
  readonly exposed: boolean;
  /** The table that has values of it, and the column there. */
  readonly from: { readonly table: string; readonly column: string };
}

/** Cases of values whose types these servers have, and the names of the others. */
export async function valueCases(
  source: pg.Client,
  target: pg.Client,
): Promise<{ cases: readonly FidelityCase[]; missing: readonly string[] }> {
  const cases: FidelityCase[] = [];
  const missing: string[] = [];
  for (const fidelityCase of readFidelity(FOLDER, 0).cases) {
    const isOfValues = fidelityCase.sections.schema.some(
      (step) => step.kind === 'sql' && step.from === DISGUISES,
    );
    if (!isOfValues || fidelityCase.name === 'random_value') continue;
    const why = await missingFor(fidelityCase, source, target);
    if (why === null) cases.push(fidelityCase);
    else missing.push(`${fidelityCase.name}: ${why}`);
  }
  return { cases, missing };
}

/**
 * Creates the types, and the tables with their values, each in its case's schema; the roles of stage.ts exist.
 */
export async function makeValues(cases: readonly FidelityCase[], service: string): Promise<void> {
  for (const fidelityCase of cases) {
    await using stage = new Stage(fidelityCase, service);
    await stage.begin();
    await stage.run(fidelityCase.sections.schema);
  }
}

/** Creates only the types, as {@link makeValues} does. */
export async function makeTypes(
  cases: readonly FidelityCase[],
  source: pg.Client,
  service: string,
): Promise<void> {
  const { rows } = await source.query<{ ddl: string }>(DISGUISE_TYPES, [
    cases.map(({ name }) => name),
  ]);
  await using target = await connectTo(service);
  for (const fidelityCase of cases) {
    await using stage = new Stage(fidelityCase, service);
    await stage.begin();
    await stage.run(
      fidelityCase.sections.schema.filter(
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
export async function fidelityColumns(
  cases: readonly FidelityCase[],
  client: pg.Client,
): Promise<FidelityColumn[]> {
  const { rows } = await client.query<Found>(COLUMNS, [cases.map(({ name }) => name)]);
  const columns = new Map<string, FidelityColumn>();
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
 * Creates a table of that name with this many rows (`n` counts them) whose columns contain the fidelity suite's
 * values: each row has another value of each type, or null.
 */
export async function makePool(
  table: string,
  columns: readonly FidelityColumn[],
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

/**
 * Columns of the tables `X_value` except their keys, `v` first. The search path is empty, so types print with their
 * schema.
 */
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

/** As {@link DISGUISES} creates them. */
const DISGUISE_TYPES = /* sql */ `
  with pinned as materialized (select set_config('search_path', '', false))
  select format('create domain %1$I.%2$I as %3$s; create type %1$I.%4$I as (a %3$s, b %1$I.%2$I, c text);',
                n.nspname, part.name || '_domain', format_type(a.atttypid, a.atttypmod), part.name || '_pair') as ddl
    from pinned, pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'v'
   cross join lateral (select substring(c.relname from '^(.*)_value$') as name) part
   where n.nspname = any($1) and c.relname like '%\_value' and c.relkind = 'r'`;
