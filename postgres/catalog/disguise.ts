/**
 * Types whose bytes are also those of another type, so that ALTER TYPE leaves the rows as they are, but whose texts the one reads of the
 * other as a different value, without an error. A column that had the other type for a time keeps nothing but another `xmin` of its
 * row in the catalog, which SET STATISTICS, a default or NOT NULL write as well: the texts from that time tell.
 *
 *   timestamptz   as timestamp (ALTER TYPE under time zone UTC) prints no zone, and is read in the zone of the target's session
 *   regclass, …   as oid or integer prints the source's number, which is another object's on the target
 */
import pg from 'pg';
import type { Relation } from './relation.ts';
import type { TableName } from './selection.ts';
import type { TableDefinition } from './table-definition.ts';
import { quoted } from './table-name.ts';

const TIMESTAMPTZ = 1184;
/** regproc, regprocedure, regoper, regoperator, regclass, regtype, regconfig, regdictionary, regnamespace, regrole, regcollation. */
const NAMING = [24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191];
const DISGUISED: readonly number[] = [TIMESTAMPTZ, ...NAMING];

/** Base types by the columns' names of now. */
export type Disguised = ReadonlyMap<string, number>;

const NONE: Disguised = new Map();

/** Columns that may have had another type between the two shapes, although their type is the same in both. */
export function disguisedColumns(
  { columns }: Pick<Relation, 'columns'>,
  before: TableDefinition,
  now: TableDefinition,
): Disguised {
  // The fingerprint holds the columns' versions.
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

/** Whether the text may be another type's. A number that names nothing prints as a number, too. Pure. */
export function mayBeDisguised(text: string, baseType: number): boolean {
  if (baseType !== TIMESTAMPTZ) return /^\d+$/.test(text);
  return !/(?:[+-]\d\d(?::\d\d){0,2}(?: BC)?|infinity)$/.test(text);
}

/** A column with such a type, and that type as a snapshot sees it. */
export interface DisguisedColumn {
  readonly name: string;
  readonly type: number;
}

/**
 * SQL for a table's columns with such a type, as JSON.
 * @param relation expression for the table's oid.
 */
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
 * SQL condition: whether the columns have the types now that the snapshot sees. A query of the catalog's tables would show the snapshot;
 * the type of an expression is that of now.
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
