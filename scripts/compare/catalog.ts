/** What is compared on one side: tables with columns and key, sequences. */
import type { Psql } from './psql.ts';

export interface ComparedTable {
  /** As the operator reads it: `schema.table`. */
  readonly name: string;
  /** Quoted, for SQL. */
  readonly sql: string;
  /** A materialized view. */
  readonly view: boolean;
  /** Whether it can be read: a materialized view that was never filled cannot. */
  readonly filled: boolean;
  /** An inheritance parent is read without its children; a partitioned table with all its partitions. */
  readonly only: boolean;
  readonly estimatedRows: number;
  /** Names with their types, in the table's order. */
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Columns of the primary key, or of another unique index over NOT NULL columns; null when there is none. */
  readonly key: readonly string[] | null;
}

/** Schemas of walferry and of the server, temporary ones, and members of extensions hold no rows of users. */
const IS_USERS = /* sql */ `
  n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry', 'walferry_fence')
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
                  and d.objid = c.oid and d.deptype = 'e')`;

const TABLES = /* sql */ `
select c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
       c.relkind = 'r', greatest(c.reltuples, 0)::bigint, c.relkind = 'm', c.relispopulated
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm') and not c.relispartition and ${IS_USERS}
order by n.nspname collate "C", c.relname collate "C"`;

const COLUMNS = /* sql */ `
select a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod)
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'm') and ${IS_USERS}
order by a.attrelid, a.attnum`;

/** The primary key first, then the narrowest unique index that identifies each row. */
const KEYS = /* sql */ `
select distinct on (i.indrelid) i.indrelid,
       (select json_agg(a.attname order by k.n)
        from unnest(i.indkey::int2[]) with ordinality k (attnum, n)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where k.n <= i.indnkeyatts)
from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
where i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
  and not exists (select from unnest(i.indkey::int2[]) with ordinality k (attnum, n)
                  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                  where k.n <= i.indnkeyatts and not a.attnotnull)
  and ${IS_USERS}
order by i.indrelid, i.indisprimary desc, i.indnkeyatts, i.indexrelid`;

const SEQUENCES = /* sql */ `
select n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S' and ${IS_USERS}
order by n.nspname collate "C", c.relname collate "C"`;

export async function readTables(psql: Psql): Promise<ComparedTable[]> {
  const columns = new Map<string, { name: string; type: string }[]>();
  for (const [table = '', name = '', type = ''] of await psql.rows('', COLUMNS)) {
    const list = columns.get(table);
    if (list) list.push({ name, type });
    else columns.set(table, [{ name, type }]);
  }
  const keys = new Map<string, string[]>();
  for (const [table = '', names = '[]'] of await psql.rows('', KEYS)) {
    keys.set(table, textArray(names));
  }
  return (await psql.rows('', TABLES)).map(
    ([oid = '', schema = '', table = '', sql = '', plain, rows, view, filled]) => ({
      name: `${schema}.${table}`,
      sql,
      only: plain === 't',
      view: view === 't',
      filled: filled === 't',
      estimatedRows: Number(rows),
      columns: columns.get(oid) ?? [],
      key: keys.get(oid) ?? null,
    }),
  );
}

function textArray(json: string): string[] {
  const parsed: unknown = JSON.parse(json);
  return Array.isArray(parsed) ? parsed.map(String) : [];
}

/** State of the sequences by name: `last_value`, and whether it was used. */
export async function readSequences(psql: Psql): Promise<Map<string, string>> {
  const found = await psql.rows('', SEQUENCES);
  const states = new Map<string, string>();
  for (let first = 0; first < found.length; first += SEQUENCES_PER_QUERY) {
    const part = found.slice(first, first + SEQUENCES_PER_QUERY);
    const select = part
      .map(
        ([, sql], index) =>
          `select ${index}, last_value::text || case when is_called then '' else ' (not yet used)' end from ${sql}`,
      )
      .join(' union all ');
    for (const [index, state = ''] of await psql.rows('', select)) {
      states.set(part[Number(index)]?.[0] ?? '', state);
    }
    await psql.giveBackLocks();
  }
  return states;
}

const SEQUENCES_PER_QUERY = 200;

/** `schema.table` or `table` (any schema), with `*` and `?`. */
export function matches(pattern: string, name: string): boolean {
  const whole = pattern.includes('.') ? pattern : `*.${pattern}`;
  const expression = whole
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${expression}$`, 's').test(name);
}
