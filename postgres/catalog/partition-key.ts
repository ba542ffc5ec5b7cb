/**
 * Partition keys. They may choose different partitions on different servers: the hash of an enum depends on the label's OID,
 * object names are stored as OIDs, and a library sorts text. Another server's partition of the same name may reject a row
 * (23514).
 */
import type pg from 'pg';
import type { TableName } from './selection.ts';
import { INNER } from './type-graph.ts';

export interface KeyCollation {
  /** `c` libc, `i` icu, `b` builtin. */
  readonly provider: string;
  readonly locale: string;
  readonly deterministic: boolean;
  /** Of the installed library; null if the provider has no version. */
  readonly version: string | null;
  readonly inherited: boolean;
}

export interface PartitionKey extends TableName {
  readonly strategy: 'r' | 'l' | 'h';
  /** Enums in the key at any depth, quoted; `an enum` if only the operator class shows that there is one. */
  readonly enums: readonly string[];
  /** Types that store OIDs and print names: regclass and similar types, aclitem. */
  readonly numbered: readonly string[];
  readonly hashes: readonly string[];
  /** Operator classes that are not built in, and user-defined functions in the key's expressions. */
  readonly own: readonly string[];
  readonly collations: readonly KeyCollation[];
  /** Whether the key has an expression whose type the operator class does not determine: an array, a row, a range. */
  readonly untyped: boolean;
}

/** Provider, locale and library version of collation `o`; PostgreSQL versions name these columns differently. */
const COLLATION = /* sql */ `
  json_build_object(
    'provider', case when o.collprovider = 'd' then coalesce(base ->> 'datlocprovider', 'c') else o.collprovider::text end,
    'locale', case when o.collprovider = 'd'
      then coalesce(base ->> 'datlocale', base ->> 'daticulocale', base ->> 'datcollate')
      else coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', o.collcollate) end,
    'deterministic', o.collisdeterministic, 'inherited', o.collprovider = 'd',
    'version', case when o.collprovider = 'd' then base ->> 'datcollversion'
                    else pg_catalog.pg_collation_actual_version(o.oid) end)`;

const KEYS = /* sql */ `
with recursive keys as (
  select c.oid as rel, n.nspname as schema, c.relname as name, p.partstrat as strategy, g.at,
         coalesce(a.atttypid, o.opcintype) as typ, p.partcollation[g.at - 1] as coll, o.oid as opclass, o.opcname,
         o.opcfamily, o.opcintype, o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace as builtin
    from unnest($1::oid[]) as given (oid)
    join pg_catalog.pg_class c on c.oid = given.oid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_partitioned_table p on p.partrelid = c.oid
    cross join lateral pg_catalog.generate_series(1, p.partnatts) as g (at)
    join pg_catalog.pg_opclass o on o.oid = p.partclass[g.at - 1]
    left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = p.partattrs[g.at - 1] and a.attnum > 0
), w (rel, oid) as (
  select rel, typ from keys
  union
  select w.rel, i.oid from w cross join lateral (${INNER}) i where i.oid <> 0
), collated (rel, oid) as (
  select rel, coll from keys
  union select w.rel, r.rngcollation from w join pg_catalog.pg_range r on r.rngtypid = w.oid
  union select w.rel, p.attcollation from w join pg_catalog.pg_type t on t.oid = w.oid and t.typtype = 'c'
          join pg_catalog.pg_attribute p on p.attrelid = t.typrelid and p.attnum > 0 and not p.attisdropped
), database (base) as (
  select to_jsonb(d) from pg_catalog.pg_database d where d.datname = current_database()
)
select k.schema, k.name, k.strategy,
       array(select coalesce(case t.typtype when 'e' then pg_catalog.format('%I.%I', n.nspname, t.typname) end, 'an enum')
               from w join pg_catalog.pg_type t on t.oid = w.oid and (t.typtype = 'e' or t.typname = 'anyenum')
               join pg_catalog.pg_namespace n on n.oid = t.typnamespace where w.rel = k.rel order by 1) as enums,
       array(select t.typname::text from w join pg_catalog.pg_type t on t.oid = w.oid
              where w.rel = k.rel and t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
                and (t.typname like 'reg%' or t.typname = 'aclitem') order by 1) as numbered,
       array(select distinct f.proname::text from keys x
               join pg_catalog.pg_amproc m on m.amprocfamily = x.opcfamily and m.amproclefttype = x.opcintype
                and m.amprocrighttype = x.opcintype and m.amprocnum = 2
               join pg_catalog.pg_proc f on f.oid = m.amproc::oid
              where x.rel = k.rel and x.strategy = 'h' and x.builtin order by 1) as hashes,
       array(select pg_catalog.format('operator class %s', x.opcname) from keys x where x.rel = k.rel and not x.builtin
             union
             select pg_catalog.format('function %I.%I', n.nspname, f.proname) from pg_catalog.pg_depend d
               join pg_catalog.pg_proc f on f.oid = d.refobjid join pg_catalog.pg_namespace n on n.oid = f.pronamespace
              where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = k.rel
                and d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass order by 1) as own,
       coalesce((select json_agg(${COLLATION} order by o.oid) from collated s cross join database
                   join pg_catalog.pg_collation o on o.oid = s.oid where s.rel = k.rel), '[]') as collations,
       exists (select from keys x join pg_catalog.pg_type t on t.oid = x.typ
                where x.rel = k.rel and t.typtype = 'p') as untyped
  from (select distinct rel, schema, name, strategy from keys) k
 order by 1, 2`;

export async function readPartitionKeys(
  client: pg.ClientBase,
  oids: readonly number[],
): Promise<PartitionKey[]> {
  if (oids.length === 0) return [];
  const { rows } = await client.query<PartitionKey>(KEYS, [oids]);
  return rows;
}

/** Versions of the libraries that implement these collations on this server; null if the server does not report one. */
export async function readCollationVersions(
  client: pg.ClientBase,
  wanted: readonly KeyCollation[],
): Promise<(KeyCollation & { readonly here: string | null })[]> {
  if (wanted.length === 0) return [];
  const { rows } = await client.query<{ versions: (string | null)[] }>(
    /* sql */ `
    select array(
      select (select max(pg_catalog.pg_collation_actual_version(o.oid)) from pg_catalog.pg_collation o
               where o.collprovider::text = w.provider
                 -- A user-defined locale may not be among the server's predefined ones.
                 and coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', o.collcollate)
                     in (w.locale, case w.provider when 'i' then 'und' else w.locale end))
        from unnest($1::text[], $2::text[]) with ordinality as w (provider, locale, at) order by w.at) as versions`,
    [wanted.map(({ provider }) => provider), wanted.map(({ locale }) => locale)],
  );
  return wanted.map((one, at) => ({ ...one, here: rows[0]?.versions[at] ?? null }));
}

/** One sample value hashed by each function, as text. Servers with different byte order hash differently. */
export async function readHashes(client: pg.ClientBase): Promise<ReadonlyMap<string, string>> {
  const { rows } = await client.query<{ name: string; hash: string }>(/* sql */ `
    select name, hash::text from (values
      ('hashint2extended', pg_catalog.hashint2extended(4711::int2, 1)),
      ('hashint4extended', pg_catalog.hashint4extended(4711, 1)),
      ('hashint8extended', pg_catalog.hashint8extended(4711, 1)),
      ('hashoidextended', pg_catalog.hashoidextended(4711, 1)),
      ('hashtextextended', pg_catalog.hashtextextended('walferry' collate pg_catalog."C", 1)),
      ('hashbpcharextended', pg_catalog.hashbpcharextended('walferry' collate pg_catalog."C", 1)),
      ('hashcharextended', pg_catalog.hashcharextended('\\377'::"char", 1)),
      ('hashnameextended', pg_catalog.hashnameextended('walferry', 1)),
      ('hashvarlenaextended', pg_catalog.hashtextextended('walferry' collate pg_catalog."C", 1)),
      ('hash_numeric_extended', pg_catalog.hash_numeric_extended(47.11, 1)),
      ('hashfloat4extended', pg_catalog.hashfloat4extended(47.11, 1)),
      ('hashfloat8extended', pg_catalog.hashfloat8extended(47.11, 1)),
      ('uuid_hash_extended', pg_catalog.uuid_hash_extended('00010203-0405-0607-0809-0a0b0c0d0e0f', 1)),
      ('timestamp_hash_extended', pg_catalog.timestamp_hash_extended('2026-01-02 03:04:05', 1)),
      ('hashinetextended', pg_catalog.hashinetextended('10.1.2.3', 1)),
      ('interval_hash_extended', pg_catalog.interval_hash_extended('1 day', 1)),
      ('jsonb_hash_extended', pg_catalog.jsonb_hash_extended('{"a": 1}', 1))) as h (name, hash)`);
  return new Map(rows.map(({ name, hash }) => [name, hash]));
}

/** Why this key never chooses the same partitions on two servers; empty if it may. Pure. */
export function differsByServer({ strategy, enums, numbered }: PartitionKey): string[] {
  const reasons: string[] = [];
  if (strategy === 'h' && enums.length > 0) {
    reasons.push(
      `hash of ${enums.join(', ')}: it depends on the OIDs of enum labels, which differ between servers`,
    );
  }
  // The target resolves list bounds by name, so they mean the same objects.
  if (strategy !== 'l' && numbered.length > 0) {
    reasons.push(`${numbered.join(', ')}: values are OIDs, which differ between servers`);
  }
  return reasons;
}

/**
 * Whether a condition on this key may select other rows on another server: enum labels may be in a different order there, names
 * may refer to other objects, and functions, operators and collations may differ. Pure.
 */
export function meansOtherRows({ strategy, collations, ...key }: PartitionKey): boolean {
  if (key.enums.length + key.numbered.length + key.own.length > 0 || key.untyped) return true;
  return collations.some(({ deterministic, locale }) =>
    strategy === 'l' ? !deterministic : !['C', 'POSIX'].includes(locale),
  );
}
