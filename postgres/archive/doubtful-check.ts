/**
 * Constraints that rows of the source may break. First, checks that depend on more than their row (on other tables, the clock,
 * session settings): PostgreSQL evaluates them only when the row is written. After hours of copying, the target may reject rows
 * that were valid on the source, because another table is still empty or a search path does not find it. Second, constraints
 * that are NOT VALID: older rows break them, and the source evaluates a domain's only for columns that a statement assigns.
 */
import type pg from 'pg';
import type { TableName } from '../catalog/selection.ts';
import { SYSTEM_SCHEMAS } from '../catalog/own-object.ts';

export interface DoubtfulCheck extends TableName {
  /** What the constraint belongs to; `schema` and `name` are those of the table or domain. */
  readonly kind: 'TABLE' | 'DOMAIN';
  readonly constraint: string;
  /** Names of the functions that make it doubtful, or `NOT VALID`. */
  readonly functions: readonly string[];
}

/**
 * NOT NULL constraints can be NOT VALID from version 18 on. NOT ENFORCED constraints (18, too) reject nothing and stay in
 * place. Functions are found in the stored expression, because pg_depend does not list those of pg_catalog. Of those, only
 * functions that read the clock or the session count; conversions that depend on settings are `stable`, too, but hold again.
 */
const CHECKS = /* sql */ `
with checked as (
  select k.oid, k.conname, k.contypid, k.conrelid, k.conbin::text as expression,
         not k.convalidated and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) as unchecked
    from pg_catalog.pg_constraint k
   where (k.contype = 'c' or k.contype = 'n' and not k.convalidated) and k.oid >= 16384
), called as (
  select k.oid as check, p.oid, p.proname, p.pronamespace, p.provolatile
    from checked k
   cross join lateral pg_catalog.regexp_matches(k.expression, ':(?:funcid|opfuncid) (\\d+)', 'g') m
    join pg_catalog.pg_proc p on p.oid = m[1]::oid
), grouped as (
  -- One hash over all: a lookup per check would read them once per check.
  select f.check, array_agg(distinct f.oid::text) filter (where not f.system) as calls,
         array_agg(distinct f.proname::text) filter (
           where f.system and (f.provolatile = 'v' or f.proname = any($1::text[]))) as functions
    from (select *, pronamespace = 'pg_catalog'::regnamespace as system from called) f group by f.check
)
select case k.contypid when 0 then 'TABLE' else 'DOMAIN' end as kind, n.nspname as schema,
       coalesce(t.typname, c.relname) as name, k.conname as "constraint", coalesce(g.calls, '{}') as calls,
       array(select unnest(g.functions)
             union select 'NOT VALID' where k.unchecked
             union select 'current_date or its like' where k.expression ~ '\\{(SQLVALUEFUNCTION|NEXTVALUEEXPR) ') as functions
  from checked k
  left join grouped g on g.check = k.oid
  left join pg_catalog.pg_class c on c.oid = k.conrelid
  left join pg_catalog.pg_type t on t.oid = k.contypid
  join pg_catalog.pg_namespace n on n.oid = coalesce(c.relnamespace, t.typnamespace)
 where n.nspname !~ '^pg_' and n.nspname not in (${SYSTEM_SCHEMAS})`;

/** Functions of pg_catalog that count, in addition to its volatile ones. */
const OF_THE_SESSION = (
  'now transaction_timestamp statement_timestamp current_setting current_schema current_schemas current_database ' +
  'getpgusername inet_client_addr inet_server_addr pg_backend_pid pg_current_xact_id txid_current pg_has_role ' +
  'has_table_privilege to_regclass to_regtype to_regrole version'
).split(' ');

interface FunctionRow {
  readonly oid: string;
  readonly name: string;
  readonly language: string;
  readonly volatile: string;
  readonly ofExtension: boolean;
  readonly body: string;
  /** BEGIN ATOMIC: the catalog lists its dependencies. */
  readonly atomic: boolean;
  /** For an atomic function: whether it reads a relation. */
  readonly reads: boolean;
}

const FUNCTIONS = /* sql */ `
select p.oid::text, p.proname as name, l.lanname as language, p.provolatile as volatile, p.prosrc as body,
       to_jsonb(p) ->> 'prosqlbody' is not null as atomic,
       exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid
                  and d.refclassid = 'pg_catalog.pg_class'::regclass) as reads,
       exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid
                  and d.deptype = 'e') as "ofExtension"
  from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
 where p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
   and (p.oid = any($1::oid[]) or p.proname = any($2::text[])
        or exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_proc'::regclass and d.refclassid = d.classid
                      and d.objid = any($1::oid[]) and d.refobjid = p.oid))`;

/** Depth to which nested calls are followed. Deeper ones are rare and cause an error that names the constraint. */
const DEPTH = 4;

/** Check constraints of tables and domains that may fail when they are evaluated again. Reads only the catalog. */
export async function readDoubtfulChecks(source: pg.ClientBase): Promise<DoubtfulCheck[]> {
  const { rows } = await source.query<DoubtfulCheck & { calls: string[] }>(CHECKS, [
    OF_THE_SESSION,
  ]);
  const called = await readCalled(source, [...new Set(rows.flatMap(({ calls }) => calls))]);
  return rows.flatMap(({ calls, functions, ...check }) => {
    const all = [...functions, ...calls.flatMap((oid) => called.get(oid) ?? [])].sort();
    return all.length === 0 ? [] : [{ ...check, functions: all }];
  });
}

/** Names of the doubtful functions among these, by oid. */
async function readCalled(
  source: pg.ClientBase,
  oids: readonly string[],
): Promise<Map<string, string>> {
  const known = new Map<string, FunctionRow>();
  let open: { oids: readonly string[]; names: readonly string[] } = { oids, names: [] };
  for (let depth = 0; depth < DEPTH && open.oids.length + open.names.length > 0; depth++) {
    const { rows } = await source.query<FunctionRow>(FUNCTIONS, [open.oids, open.names]);
    const fresh = rows.filter(({ oid }) => !known.has(oid));
    for (const row of fresh) known.set(row.oid, row);
    open = {
      oids: fresh.map(({ oid }) => oid),
      names: [...new Set(fresh.flatMap(({ body }) => calledIn(body)))],
    };
  }
  const all = [...known.values()];
  const doubtful = new Set(all.filter(isDoubtful).map(({ name }) => name));
  for (let before = -1; before !== doubtful.size;) {
    before = doubtful.size;
    for (const { name, body } of all) {
      if (calledIn(body).some((one) => doubtful.has(one))) doubtful.add(name);
    }
  }
  return new Map(
    oids.flatMap((oid) => {
      const one = known.get(oid);
      return one !== undefined && doubtful.has(one.name) ? [[oid, one.name]] : [];
    }),
  );
}

/** A stable function may return another result next time; PostgreSQL does not verify `immutable`. */
function isDoubtful({
  volatile,
  ofExtension,
  atomic,
  reads,
  language,
  body,
}: FunctionRow): boolean {
  if (volatile !== 'i') return true;
  if (ofExtension || language === 'c' || language === 'internal') return false;
  return atomic ? reads : readsTables(body);
}

const NOISE = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'/g;
/** `from` as part of a function or operator, not of a query. */
const OTHER_FROM =
  /\b(?:extract|substring|trim|overlay|position)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)|\bdistinct\s+from\b/gi;
/** A query, or a procedural language's call to run one. */
const QUERY =
  /\b(?:from|join|update|into|perform|execute)\s+(?!strict\b)["a-z_(]|\b(?:spi_\w+|plpy\s*\.\s*(?:execute|prepare|cursor))\b|\b(?:now|clock_timestamp|current_(?:setting|date|time|timestamp|user))\b/i;

/** Whether a body seems to read a table, the clock or the session. plpgsql's `select … into` alone does not count. */
function readsTables(body: string): boolean {
  return QUERY.test(body.replaceAll(NOISE, ' ').replaceAll(OTHER_FROM, ' '));
}

function calledIn(body: string): string[] {
  const bare = body.replaceAll(NOISE, ' ');
  return [...bare.matchAll(/"((?:[^"]|"")+)"\s*\(|\b([a-z_][\w$]*)\s*\(/gi)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain?.toLowerCase() ?? '',
  );
}
