/**
 * Types that share their binary form with another type, so ALTER TYPE between them rewrites no rows, but whose text form means a
 * different value when read as the other type, without an error. If a column temporarily had the other type, its only trace is a
 * new `xmin` of the catalog row, which SET STATISTICS, a default or NOT NULL also write. So texts sent in that time are checked.
 *
 *   timestamptz   as timestamp (ALTER TYPE under time zone UTC) prints no zone; the target reads it in its session's time zone
 *   regclass, …   as oid or integer prints the source's OID, which belongs to a different object on the target
 */
import pg from 'pg';
import type { Relation } from './relation.ts';
import type { TableName } from './selection.ts';
import type { TableDefinition } from './table-definition.ts';
import { quoted } from './table-name.ts';

const TIMESTAMPTZ = 1184;
/**
 * regproc, regprocedure, regoper, regoperator, regclass, regtype, regconfig, regdictionary, regnamespace, regrole, regcollation.
 */
const NAMING = [24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191];
const DISGUISED: readonly number[] = [TIMESTAMPTZ, ...NAMING];

/** Base types by current column name. */
export type Disguised = ReadonlyMap<string, number>;

const NONE: Disguised = new Map();

/** Columns that have the same type in both definitions but may have had another one in between. */
export function disguisedColumns(
  { columns }: Pick<Relation, 'columns'>,
  before: TableDefinition,
  now: TableDefinition,
): Disguised {
  // The fingerprint includes the columns' catalog versions.
  if (before.fingerprint === now.fingerprint) return NONE;
  const then = new Map(before.columns.map(({ attnum, version }) => [attnum, version]));
  const versions = new Map(now.columns.map(({ attnum, version }) => [attnum, version]));
  return new Map(
    columns.flatMap(({ name, attnum, baseTypeOid }) => {
      const earlier = then.get(attnum);
      const written = earlier !== undefined && earlier !== versions.get(attnum);
      return written && DISGUISED.includes(baseTypeOid) ? [[name, baseTypeOid] as const] : [];
    }),
  );
}

/** Whether the text may have been printed by the other type. An OID without an object prints as a number, too. Pure. */
export function mayBeDisguised(text: string, baseType: number): boolean {
  if (baseType !== TIMESTAMPTZ) return /^\d+$/.test(text);
  return !/(?:[+-]\d\d(?::\d\d){0,2}(?: BC)?|infinity)$/.test(text);
}

/** A column of such a type, and the type that the snapshot sees. */
export interface DisguisedColumn {
  readonly name: string;
  readonly type: number;
}

/** SQL: a table's columns of such types, as JSON. */
export function readDisguised(relation: string): string {
  return /* sql */ `
    coalesce((
      select json_agg(json_build_object('name', a.attname, 'type', a.atttypid::int8))
        from pg_catalog.pg_attribute a
       where a.attrelid = ${relation} and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
         and (a.atttypid in (${DISGUISED.join()}) or exists (
           select from pg_catalog.pg_type d
            where d.oid = a.atttypid and d.typtype = 'd'
              and exists (with recursive w (oid) as (
                            select d.typbasetype
                            union select t.typbasetype from w join pg_catalog.pg_type t on t.oid = w.oid and t.typtype = 'd')
                          select from w where w.oid in (${DISGUISED.join()}))))), '[]')`;
}

/**
 * SQL condition: whether the columns still have the types that the snapshot sees. Catalog tables are read under the snapshot; the
 * type of an expression is always the current one.
 */
export function stillTyped(table: TableName, columns: readonly DisguisedColumn[]): string {
  const row = `(null::${quoted(table)})`;
  return columns
    .map(
      ({ name, type }) =>
        `pg_catalog.pg_typeof(${row}.${pg.escapeIdentifier(name)})::oid = ${type}`,
    )
    .join(' and ');
}
