/**
 * What types are made of: labels of enums, attributes of composites. `ALTER TYPE` changes them without touching a table that
 * uses them, and a renamed label changes every stored value: rows that nobody writes again would keep the old one on the target.
 */
import type pg from 'pg';
import type { Difference } from './drift.ts';
import type { TableName } from './selection.ts';

/** A type that a column is made of, at whatever depth (arrays, domains, composites, ranges). */
export interface TypeParts extends TableName {
  readonly column: string;
  readonly type: string;
  readonly kind: 'enum' | 'composite';
  /** Labels of an enum in their order, or types of a composite's attributes. */
  readonly parts: readonly string[];
}

/** Enums and composites of users that columns of these tables are made of. */
export async function readTypeParts(
  client: pg.ClientBase,
  oids: readonly number[],
): Promise<TypeParts[]> {
  const { rows } = await client.query<TypeParts>(
    /* sql */ `
    with recursive inside (part, whole) as (
      select t.typelem, t.oid from pg_catalog.pg_type t where t.typcategory = 'A' and t.oid >= 16384
      union all select t.typbasetype, t.oid from pg_catalog.pg_type t where t.typtype = 'd'
      union all select r.rngsubtype, r.rngtypid from pg_catalog.pg_range r
      union all select a.atttypid, c.reltype from pg_catalog.pg_class c
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       where c.relkind = 'c'
    ), used (typ, attrelid, attnum) as (
      -- Types of the system are made of the system's alone.
      select a.atttypid, a.attrelid, a.attnum from pg_catalog.pg_attribute a
       where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384
      union select i.part, u.attrelid, u.attnum from used u join inside i on i.whole = u.typ
    ), made (typ, type, kind, parts) as materialized (
      -- Once for a type, which thousands of columns may be of.
      select t.oid, pg_catalog.format('%I.%I', s.nspname, t.typname),
             case t.typtype when 'e' then 'enum' else 'composite' end,
             case t.typtype
               when 'e' then array(select e.enumlabel::text from pg_catalog.pg_enum e
                                    where e.enumtypid = t.oid order by e.enumsortorder)
               else array(select pg_catalog.format_type(p.atttypid, p.atttypmod) from pg_catalog.pg_attribute p
                           where p.attrelid = t.typrelid and p.attnum > 0 and not p.attisdropped order by p.attnum) end
        from pg_catalog.pg_type t join pg_catalog.pg_namespace s on s.oid = t.typnamespace
       where t.typtype in ('e', 'c') and t.oid in (select typ from used)
    )
    select n.nspname as schema, c.relname as name, a.attname as column, m.type, m.kind, m.parts
      from used u join made m on m.typ = u.typ
      join pg_catalog.pg_class c on c.oid = u.attrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = u.attnum
     order by 1, 2, a.attnum, 4`,
    [oids],
  );
  return rows;
}

/**
 * Where a value of the source would be another one on the target, or none. More labels on the target do no harm, nor do other
 * names of attributes.
 */
export function compareTypeParts(
  source: readonly TypeParts[],
  target: readonly TypeParts[],
): Difference[] {
  const there = new Map(target.map((one) => [keyOf(one), one]));
  // Once for a partition root on the target that many partitions of the source go into.
  const here = new Map(source.map((one) => [keyOf(one), one]));
  return [...here.values()].flatMap((one) => {
    const other = there.get(keyOf(one));
    // Other types of the columns are told as that.
    const what = other === undefined ? null : compareOne(one, other);
    if (what === null) return [];
    return [{ schema: one.schema, table: one.name, column: one.column, what }];
  });
}

function compareOne(source: TypeParts, target: TypeParts): string | null {
  if (source.kind === 'enum') {
    const missing = source.parts.filter((label) => !target.parts.includes(label));
    return missing.length === 0
      ? null
      : `is made of ${source.type}, which lacks labels on the target that it has on the source (${missing.length}): alter type … rename value or add value there`;
  }
  // Text of one type is often read as another, which an operator's own tables may live from; a field more or less never is.
  if (source.parts.length === target.parts.length) return null;
  const [here, there] = [source.parts.join(', '), target.parts.join(', ')];
  return `is made of ${source.type}, which is (${here}) on the source, (${there}) on the target`;
}

function keyOf({ schema, name, column, type, kind }: TypeParts): string {
  return JSON.stringify([schema, name, column, type, kind]);
}
