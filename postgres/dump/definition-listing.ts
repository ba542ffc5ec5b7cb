/**
 * The query that lists the rows which break a constraint or unique index. It is built from the definition in the source's
 * catalog, so the archive's SQL does not have to be parsed.
 */
import type { Migration } from '../../contract/migration.ts';
import { connectSource } from '../session/open.ts';
import type { StoredEntry } from '../store/schema-entry.ts';

export interface Definition {
  /** Quoted, schema-qualified. */
  readonly table: string;
  readonly partitioned: boolean;
  /** `p`, `u`, `x`, `f`, `c`, or `i` for a unique index without constraint. */
  readonly kind: string;
  /** Expressions of the key; for a foreign key its quoted columns. */
  readonly keys: readonly string[];
  readonly predicate: string | null;
  readonly nullsNotDistinct: boolean;
  /** Of an exclusion constraint, or the equality operators of a foreign key; one per key. */
  readonly operators: readonly string[];
  readonly check: string | null;
  readonly parent: string | null;
  readonly parentPartitioned: boolean;
  readonly parentKeys: readonly string[];
  /** MATCH FULL: a partly null key breaks it. */
  readonly full: boolean;
}

/** The query that lists the rows which break the constraint. Pure. Null for unknown kinds. */
export function listing(one: Definition): string | null {
  const from = `from ${one.partitioned ? '' : 'only '}${one.table}`;
  const where = one.predicate === null ? [] : [`(${one.predicate})`];
  switch (one.kind) {
    case 'i':
    case 'u':
    case 'p': {
      const known = one.nullsNotDistinct ? [] : one.keys.map((key) => `${key} is not null`);
      const nulls = one.kind === 'p' ? one.keys.map((key) => ` or ${key} is null`).join('') : '';
      const condition = one.kind === 'p' ? [] : [...known, ...where];
      return `select * from (select t.*, count(*) over (partition by ${one.keys.join(', ')}) as walferry_copies ${from} t${
        condition.length > 0 ? ` where ${condition.join(' and ')}` : ''
      }) q where walferry_copies > 1${nulls}`;
    }
    case 'x': {
      const keys = one.keys.map((key, i) => `${key} as k${i}`).join(', ');
      const meet = one.operators.map((operator, i) => `a.k${i} ${operator} b.k${i}`).join(' and ');
      return `with keyed as materialized (select ctid as walferry_row, ${keys} ${from}${
        where.length > 0 ? ` where ${where.join(' and ')}` : ''
      }) select t.* ${from} t where ctid in (select a.walferry_row from keyed a join keyed b on a.walferry_row <> b.walferry_row and ${meet})`;
    }
    case 'f': {
      const parent = `from ${one.parentPartitioned ? '' : 'only '}${one.parent ?? ''} p`;
      const keys = one.keys.map((key) => `c.${key}`);
      const equal = one.operators.map(
        (operator, i) => `p.${one.parentKeys[i] ?? ''} ${operator} ${keys[i] ?? ''}`,
      );
      const missing = `${keys.map((key) => `${key} is not null`).join(' and ')} and not exists (select ${parent} where ${equal.join(' and ')})`;
      const partly = `num_nulls(${keys.join(', ')}) between 1 and ${keys.length - 1}`;
      return `select c.* ${from} c where ${one.full && keys.length > 1 ? `(${missing}) or ${partly}` : missing}`;
    }
    case 'c':
      return `select * ${from} where not (${one.check ?? 'true'})`;
    default:
      return null;
  }
}

/** The name matches the archive's tag: an index's own name, or the table's and the constraint's name joined by a space. */
const DEFINITION = /* sql */ `
with wanted as (
  select i.indrelid as relid, i.indexrelid as indexid, null::oid as conid
    from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where $1 and i.indisunique and n.nspname = $2 and c.relname = $3
  union all
  select k.conrelid, case when k.contype in ('p', 'u', 'x') then k.conindid end, k.oid
    from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where not $1 and n.nspname = $2 and c.relname || ' ' || k.conname = $3
)
select format('%I.%I', n.nspname, t.relname) as "table", t.relkind = 'p' as partitioned, coalesce(k.contype, 'i') as kind,
       case when k.contype = 'f' then array(
              select quote_ident(a.attname) from unnest(k.conkey) with ordinality c (num, at)
                join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.num order by c.at)
            else array(
              select pg_catalog.pg_get_indexdef(i.indexrelid, at, false) ||
                     -- Needed only if the index may treat values as equal that the column does not.
                     case when o.oid is null or o.collisdeterministic then '' else format(' collate %I.%I', o.collnamespace::regnamespace::text, o.collname) end
                from generate_series(1, i.indnkeyatts::int) at
                left join pg_catalog.pg_collation o on o.oid = i.indcollation[at - 1] order by at) end as keys,
       pg_catalog.pg_get_expr(i.indpred, i.indrelid) as predicate,
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) as "nullsNotDistinct",
       array(select format('operator(%I.%s)', o.oprnamespace::regnamespace::text, o.oprname)
               from unnest(case k.contype when 'f' then k.conpfeqop when 'x' then k.conexclop end) with ordinality p (oid, at)
               join pg_catalog.pg_operator o on o.oid = p.oid order by p.at) as operators,
       case when k.contype = 'c' then pg_catalog.pg_get_expr(k.conbin, k.conrelid) end as check,
       case when k.contype = 'f' then format('%I.%I', pn.nspname, p.relname) end as parent,
       coalesce(p.relkind = 'p', false) as "parentPartitioned",
       array(select quote_ident(a.attname) from unnest(k.confkey) with ordinality c (num, at)
               join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = c.num order by c.at) as "parentKeys",
       coalesce(k.confmatchtype = 'f', false) as full
  from wanted w
  join pg_catalog.pg_class t on t.oid = w.relid join pg_catalog.pg_namespace n on n.oid = t.relnamespace
  left join pg_catalog.pg_index i on i.indexrelid = w.indexid
  left join pg_catalog.pg_constraint k on k.oid = w.conid
  left join pg_catalog.pg_class p on p.oid = k.confrelid left join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace`;

/** The query for an entry of the archive; null when the source no longer has it, or for unknown kinds. */
export async function readListing(
  migration: Migration,
  entry: StoredEntry,
): Promise<string | null> {
  await using client = await connectSource(migration, 'schema');
  await client.query(/* sql */ `set search_path = ''`);
  const { rows } = await client.query<Definition>(DEFINITION, [
    entry.kind === 'INDEX',
    entry.schema,
    entry.name,
  ]);
  return rows[0] === undefined ? null : listing(rows[0]);
}
