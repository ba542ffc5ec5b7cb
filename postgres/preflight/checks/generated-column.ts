/**
 * Generated columns whose functions read tables although they are declared immutable. The target computes such a column when a
 * row arrives, from the rows that the other table holds then, if any.
 */
import { grouped } from '../../../contract/grouped.ts';
import { list, nameOf } from '../wording.ts';
import { defineCheck, raising, warns } from '../check.ts';
import type { TableName } from '../../catalog/selection.ts';
import { selectedOids } from '../facts/selected.ts';
import type { SourceReading } from '../reading.ts';

const { codes, warning } = raising({
  'generated-reads': warns(
    'Generated columns call functions that read tables; the target computes their values when the rows arrive.',
  ),
});

export const generatedColumn = defineCheck({
  codes,
  source: { generatedReads: readGeneratedReads },
  find: ({ source }) => {
    if (source === null || source.generatedReads.length === 0) return [];
    const named = source.generatedReads.map((one) => {
      const reads = one.reads.length === 0 ? 'runs dynamic SQL' : `reads ${list(one.reads)}`;
      return `${nameOf(one)}.${one.column} (${one.function} ${reads})`;
    });
    return warning(
      'generated-reads',
      `generated columns call functions that read tables; the target computes their values when each row arrives, from the rows that those tables hold then: ${list(named)}`,
      'The cutover compares the values and is refused if they differ. Once the stream runs, recompute them on the source (update a column that the expression reads to its own value); the target then has all rows. Or drop the expression on the source (alter column … drop expression) and fill the column with a trigger.',
    );
  },
});

interface GeneratedReads extends TableName {
  readonly column: string;
  /** Quoted, with its schema. */
  readonly function: string;
  /** Names as in the function's source; empty if it runs dynamic SQL. */
  readonly reads: readonly string[];
}

interface FunctionRow {
  readonly oid: number;
  readonly name: string;
  readonly sql: string;
  readonly source: string;
  /** Tables that pg_depend records for it (`begin atomic`). */
  readonly tables: readonly string[];
}

const USED = /* sql */ `
select n.nspname as schema, c.relname as name, a.attname as column,
       array_agg(distinct coalesce(o.oprcode::oid, d.refobjid)::int8::float8) as functions
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attrdef e on e.adrelid = a.attrelid and e.adnum = a.attnum
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = e.oid
   and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
  left join pg_catalog.pg_operator o on o.oid = d.refobjid and d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
 where a.attrelid = any($1::oid[]) and a.attgenerated <> '' and not a.attisdropped
 group by 1, 2, 3 order by 1, 2, 3`;

/** Without C functions, which read no user tables, and system schemas, where users define none. */
const FUNCTIONS = /* sql */ `
select p.oid::int8::float8 as oid, p.proname as name, pg_catalog.format('%I.%I', n.nspname, p.proname) as sql,
       coalesce(p.prosrc, '') as source,
       array(select distinct c.relname::text from pg_catalog.pg_depend d join pg_catalog.pg_class c on c.oid = d.refobjid
              where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid
                and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.relkind in ('r', 'p', 'v', 'm', 'f')) as tables
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_language l on l.oid = p.prolang
 where l.lanname not in ('c', 'internal') and n.nspname not in ('pg_catalog', 'information_schema')`;

async function readGeneratedReads(of: SourceReading): Promise<GeneratedReads[]> {
  const used = await of.client.query<TableName & { column: string; functions: number[] }>(USED, [
    await selectedOids(of),
  ]);
  // True for most databases: pg_depend records only dependencies on user-defined functions.
  if (used.rows.length === 0) return [];
  const { rows } = await of.client.query<FunctionRow>(FUNCTIONS);
  const relations = await of.client.query<{ names: string[] }>(/* sql */ `
    select array_agg(distinct c.relname::text) as names from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema')`);
  const known = new Set(relations.rows[0]?.names ?? []);
  return used.rows.flatMap(({ functions, ...column }) =>
    called(rows, functions).flatMap((one) => {
      const reads = readsOf(one, known);
      return reads === null ? [] : [{ ...column, function: one.sql, reads }];
    }),
  );
}

/** These functions and all functions that they may call. Matched by name, so the result may contain too many. */
function called(all: readonly FunctionRow[], first: readonly number[]): FunctionRow[] {
  const byName = grouped(all, ({ name }) => name);
  const found = new Set(all.filter(({ oid }) => first.includes(oid)));
  for (const one of found) {
    for (const [, word = ''] of one.source.matchAll(/"?([\p{L}_][\p{L}\p{N}_$]*)"?\s*\(/gu)) {
      for (const next of byName.get(word) ?? byName.get(word.toLowerCase()) ?? []) found.add(next);
    }
  }
  return [...found];
}

/** Null if the function reads no table. */
function readsOf({ source, tables }: FunctionRow, known: ReadonlySet<string>): string[] | null {
  const text = source.replaceAll(/--[^\n]*/g, ' ').replaceAll(/\/\*.*?\*\//gs, ' ');
  const named = [
    ...text.matchAll(/\b(?:from|join)\s+(?:only\s+)?((?:"[^"]+"|[\p{L}\p{N}_$.])+)/giu),
  ]
    .map(([, name = '']) => name)
    .filter((name) => {
      const last = name.split('.').at(-1) ?? '';
      return known.has(last.replaceAll('"', '')) || known.has(last.toLowerCase());
    });
  const reads = [...new Set([...tables, ...named])];
  // Dynamic SQL is not analysed.
  return reads.length > 0 || /\bexecute\b/i.test(text) ? reads : null;
}
