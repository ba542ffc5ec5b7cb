/**
 * The types of columns and their parts at any depth: arrays, domains, ranges, multiranges, composites. `ALTER TYPE` can change
 * the meaning of stored values without touching the tables that use the type, and neither names nor OIDs of labels show it. So
 * each type has an identity built from its parts, which changes with every such statement.
 */
import type pg from 'pg';

export interface TypeNode {
  readonly oid: number;
  readonly name: string;
  readonly kind: 'enum' | 'composite' | 'domain' | 'array' | 'range' | 'multirange' | 'base';
  /**
   * Identity of the parts. Enum: oid and `xmin` of each label in label order; renaming a label changes its `xmin`. Composite:
   * number and type of every attribute, including dropped ones. Range: subtype, operator class, collation. Others: empty.
   */
  readonly parts: readonly string[];
  /** Labels of an enum in order, one per part. */
  readonly labels: readonly string[];
  /** Attributes of a composite, without dropped ones. */
  readonly attributes: readonly { readonly name: string; readonly type: string }[];
  /** Oids of its parts' types: element, base, subtype, or one per attribute. */
  readonly inner: readonly number[];
  /** `format_type` of each, with its modifier in this type. */
  readonly innerNames: readonly string[];
}

/** User-defined types by oid. Built-in types consist only of built-in types and are not included. */
export type TypeGraph = ReadonlyMap<number, TypeNode>;

/** Lower OIDs belong to objects that initdb created. */
const FIRST_OF_USERS = 16_384;

/** `t` is the type's row of `pg_type`; it may be the row type of a table. */
const PARTS = /* sql */ `
  case t.typtype
    when 'e' then array(select pg_catalog.format('%s:%s', e.oid::int8, e.xmin) from pg_catalog.pg_enum e
                         where e.enumtypid = t.oid order by e.enumsortorder)
    when 'c' then array(select pg_catalog.format('%s:%s:%s', p.attnum, p.atttypid::int8, p.atttypmod)
                          from pg_catalog.pg_attribute p
                         where p.attrelid = t.typrelid and p.attnum > 0 order by p.attnum)
    when 'r' then array(select pg_catalog.format('%s:%s:%s', r.rngsubtype::int8, r.rngsubopc::int8, r.rngcollation::int8)
                          from pg_catalog.pg_range r where r.rngtypid = t.oid)
    else '{}' end`;

/** Part types of type `w.oid`, each with its modifier there. Version 13 has no multiranges and no column `rngmultitypid`. */
export const INNER = /* sql */ `
  select 1 as at, t.typelem as oid, -1 as modifier from pg_catalog.pg_type t where t.oid = w.oid and t.typcategory = 'A'
  union all
  select 1, t.typbasetype, t.typtypmod from pg_catalog.pg_type t where t.oid = w.oid and t.typtype = 'd'
  union all
  select 1, r.rngsubtype, -1 from pg_catalog.pg_range r where r.rngtypid = w.oid
  union all
  select 1, r.rngtypid, -1 from pg_catalog.pg_range r where (to_jsonb(r) ->> 'rngmultitypid')::oid = w.oid
  union all
  select p.attnum, p.atttypid, p.atttypmod from pg_catalog.pg_type t
    join pg_catalog.pg_attribute p on p.attrelid = t.typrelid and p.attnum > 0 and not p.attisdropped
   where t.oid = w.oid and t.typtype = 'c'`;

const GRAPH = /* sql */ `
with recursive w (oid) as (
  select distinct given.oid from unnest($1::oid[]) as given (oid)
  union
  select i.oid from w cross join lateral (${INNER}) i where w.oid >= ${FIRST_OF_USERS} and i.oid <> 0
)
select t.oid::int8::float8 as oid, pg_catalog.format('%I.%I', n.nspname, t.typname) as name,
       case t.typtype when 'e' then 'enum' when 'c' then 'composite' when 'd' then 'domain' when 'r' then 'range'
                      when 'm' then 'multirange' else case t.typcategory when 'A' then 'array' else 'base' end end as kind,
       ${PARTS} as parts,
       array(select e.enumlabel::text from pg_catalog.pg_enum e
              where e.enumtypid = t.oid order by e.enumsortorder) as labels,
       coalesce((select json_agg(json_build_object('name', p.attname, 'type', pg_catalog.format_type(p.atttypid, p.atttypmod))
                                 order by p.attnum)
                   from pg_catalog.pg_attribute p
                  where t.typtype = 'c' and p.attrelid = t.typrelid and p.attnum > 0 and not p.attisdropped), '[]') as attributes,
       array(select i.oid::int8::float8 from (${INNER}) i where i.oid <> 0 order by i.at) as inner,
       array(select pg_catalog.format_type(i.oid, i.modifier) from (${INNER}) i where i.oid <> 0 order by i.at) as "innerNames"
  from w join pg_catalog.pg_type t on t.oid = w.oid
  join pg_catalog.pg_namespace n on n.oid = t.typnamespace
 where w.oid >= ${FIRST_OF_USERS}`;

/**
 * The types of these relations' columns and all their parts; inside a transaction, what its snapshot sees. Names of parts are
 * schema-qualified according to the session's search_path.
 */
export async function readTypeGraph(
  client: pg.ClientBase,
  relations: readonly { readonly columns: readonly { readonly typeOid: number }[] }[],
): Promise<TypeGraph> {
  const oids = new Set(
    relations.flatMap(({ columns }) =>
      columns.flatMap(({ typeOid }) => (typeOid < FIRST_OF_USERS ? [] : [typeOid])),
    ),
  );
  if (oids.size === 0) return new Map();
  const { rows } = await client.query<TypeNode>(GRAPH, [[...oids]]);
  return new Map(rows.map((node) => [node.oid, node]));
}

export function reachable(graph: TypeGraph, oids: readonly number[]): TypeNode[] {
  const found = new Map<number, TypeNode>();
  const visit = (oid: number): void => {
    const node = graph.get(oid);
    if (!node || found.has(oid)) return;
    found.set(oid, node);
    node.inner.forEach(visit);
  };
  oids.forEach(visit);
  return [...found.values()];
}

/** Current fingerprints of these types, for the check before every commit on the target; a dropped type has no entry. */
export async function lookAtTypes(
  client: pg.ClientBase,
  oids: readonly number[],
): Promise<Map<number, string>> {
  const { rows } = await client.query<{ oid: number; parts: string[] }>(
    /* sql */ `
    select t.oid::int8::float8 as oid, ${PARTS} as parts from pg_catalog.pg_type t where t.oid = any($1::oid[])`,
    [oids],
  );
  return new Map(rows.map(({ oid, parts }) => [oid, fingerprintOf({ parts })]));
}

export function fingerprintOf({ parts }: Pick<TypeNode, 'parts'>): string {
  return parts.join();
}
