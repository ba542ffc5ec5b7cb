/**
 * The shape of a table at one moment, and what lies between two shapes. A name and a type are not enough: `ALTER TYPE … USING`
 * to the same type, a column dropped and added again, and two columns that swap their names change what a value means and
 * leave names and types as they were. So a shape holds attribute numbers (never given out twice) and, for each column, the
 * transaction that wrote its catalog row.
 */
import type pg from 'pg';
import { SCHEMA_VERSION, type SchemaRows } from './schema-row.ts';
import {
  FILE_STATE,
  isReplaced,
  PARTITION_FILES,
  UNSEEN_COMMANDS,
  WITNESS,
  type FileState,
} from './file.ts';

export interface ColumnDefinition {
  readonly name: string;
  readonly attnum: number;
  readonly typeOid: number;
  readonly typmod: number;
  /** `s` stored, `v` virtual, empty for an ordinary column. */
  readonly generated: string;
  /** Transaction that wrote the catalog row last (`xmin`, 32 bits). */
  readonly version: string;
  /** What rows older than the column hold without being rewritten (`attmissingval`); null for NULL. */
  readonly missing: string | null;
  /** Whether an unchanged value may be left out of an update: the types that can be TOASTed. */
  readonly varying: boolean;
}

export interface TableDefinition extends FileState {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly ColumnDefinition[];
  /** Attribute numbers of columns that were dropped. */
  readonly dropped: readonly number[];
  /**
   * Transaction (32 bits) that wrote the row of its type last: only RENAME, SET SCHEMA and OWNER TO do. In between its changes came
   * under another name, and another table's under this one. Absent in shapes that earlier code stored.
   */
  readonly named?: string | undefined;
  /** Links to the tables above, as oids with the transaction that made each; empty for a table that is no partition. */
  readonly place: string;
  /** Of a partitioned table (file.ts); absent in what earlier code stored. */
  readonly files?: string;
  /** All of the above that DDL changes, and the indexes that identify rows; equal as long as no DDL touched the table. */
  readonly fingerprint: string;
}

/** A partition that was detached and attached again has another link, also at the same place. */
const PLACE = /* sql */ `
  coalesce((
    select string_agg(format('%s under %s since %s', i.inhrelid::int8, i.inhparent::int8, i.xmin), ', ' order by i.inhrelid)
      from pg_catalog.pg_partition_ancestors(c.oid) a (relid)
      join pg_catalog.pg_inherits i on i.inhrelid = a.relid
     where c.relispartition), '')`;

/** Of a root: which partitions there are, on all levels. Not `pg_partition_tree`: that waits for whoever locks one of them. */
const MEMBERS = /* sql */ `
  coalesce((
    with recursive below (oid, link) as (
      select i.inhrelid, i.xmin from pg_catalog.pg_inherits i
       where i.inhparent = c.oid and c.relkind = 'p' and not c.relispartition
      union all
      select i.inhrelid, i.xmin from below join pg_catalog.pg_inherits i on i.inhparent = below.oid)
    select string_agg(format('%s since %s', oid::int8, link), ',' order by oid) from below), '')`;

const NAMED = /* sql */ `
  coalesce((select t.xmin::text from pg_catalog.pg_type t where t.oid = c.reltype), '')`;

const FINGERPRINT = /* sql */ `
  md5(format('%s %s %s %s %s ', c.oid, c.relkind, c.relreplident, c.relpersistence, ${NAMED}) || ${WITNESS} || ${PLACE} || ${MEMBERS} || coalesce((
        select string_agg(format('%s %s %s %s', i.indexrelid::int8, i.indisprimary, i.indisreplident, i.indimmediate), ','
                          order by i.indexrelid)
          from pg_catalog.pg_index i
         where i.indrelid = c.oid and (i.indisprimary or i.indisreplident)), '')
      || coalesce((
        select string_agg(format('%s %I %s %s %s %s %s', a.attnum, a.attname, a.atttypid::int8, a.atttypmod, a.attgenerated,
                                 a.attisdropped, a.xmin), ',' order by a.attnum)
          from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0), ''))`;

const definitions = (files: string) => /* sql */ `
select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, ${FILE_STATE},
       ${FINGERPRINT} as fingerprint, ${NAMED} as named, ${PLACE} as place, ${files} as files, coalesce(own.columns, '[]') as columns, coalesce(own.dropped, '{}') as dropped
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join (${UNSEEN_COMMANDS}) before on before.oid = c.oid
  left join (
    select a.attrelid,
           json_agg(json_build_object(
             'name', a.attname, 'attnum', a.attnum, 'typeOid', a.atttypid::int8, 'typmod', a.atttypmod,
             'generated', a.attgenerated, 'version', a.xmin::text, 'varying', a.attlen = -1,
             'missing', case when a.atthasmissing then (a.attmissingval::text::text[])[1] end)
             order by a.attnum) filter (where not a.attisdropped) as columns,
           array_agg(a.attnum::int order by a.attnum) filter (where a.attisdropped) as dropped
      from pg_catalog.pg_attribute a
     where a.attrelid = any($1::oid[]) and a.attnum > 0
     group by a.attrelid) own on own.attrelid = c.oid
 where c.oid = any($1::oid[])`;

/**
 * Shapes of the tables with these oids, as far as they exist; inside a transaction what its snapshot sees.
 * @param files whether to read the digest of partitions' files, which takes time where there are many; empty otherwise.
 */
export async function readDefinitions(
  client: pg.ClientBase,
  oids: readonly number[],
  files = false,
): Promise<Map<number, TableDefinition>> {
  const { rows } = await client.query<TableDefinition>(
    definitions(files ? PARTITION_FILES : `''`),
    [oids],
  );
  return new Map(rows.map((definition) => [definition.oid, definition]));
}

/** What the source says of tables at one moment: fingerprints by schema and name, and the snapshot that saw them. */
export interface Look {
  readonly snapshot: string;
  /** In the order of the names; null where there is no such table. */
  readonly fingerprints: readonly (string | null)[];
  /** One of the schemas whose row is not the expected one; null for none. */
  readonly schema: string | null;
}

/**
 * One cheap query, for a look before every commit on the target.
 * @param schemas expected rows of schemas.
 */
export async function lookAt(
  client: pg.ClientBase,
  names: readonly { readonly schema: string; readonly name: string }[],
  schemas: SchemaRows = new Map(),
): Promise<Look> {
  const { rows } = await client.query<{
    snapshot: string;
    fingerprints: (string | null)[];
    schema: string | null;
  }>({
    // Asked with every batch, and planning takes longer than running it. With JSON the planner expects the same number of names
    // for any values, so that a plan for just these never looks cheaper than the kept one. With arrays it plans again each time.
    name: 'walferry_look',
    text: /* sql */ `
    select pg_catalog.pg_current_snapshot()::text as snapshot, array_agg(found.fingerprint order by wanted.at) as fingerprints,
           (select given.schema from pg_catalog.json_to_recordset($2::pg_catalog.json) as given (schema text, version text)
              left join pg_catalog.pg_namespace n on n.nspname = given.schema
             where ${SCHEMA_VERSION} is distinct from given.version limit 1) as schema
      from rows from (pg_catalog.json_to_recordset($1::pg_catalog.json) as (schema text, name text)) with ordinality as wanted (schema, name, at)
      left join lateral (
        select ${FINGERPRINT} as fingerprint from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = wanted.schema and c.relname = wanted.name
        offset 0) found on true`,
    values: [
      JSON.stringify(names.map(({ schema, name }) => ({ schema, name }))),
      JSON.stringify([...schemas].map(([schema, { version }]) => ({ schema, version }))),
    ],
  });
  const [row] = rows;
  return {
    snapshot: row?.snapshot ?? '',
    fingerprints: row?.fingerprints ?? [],
    schema: row?.schema ?? null,
  };
}

export interface DefinitionChange {
  readonly added: readonly ColumnDefinition[];
  readonly dropped: readonly ColumnDefinition[];
  readonly renamed: readonly { readonly from: string; readonly to: string }[];
  /**
   * Why the same DDL on the target, typed whenever, cannot be trusted to give the same rows: then the table is copied again.
   * Null when only columns were added, dropped or renamed without taking another one's name.
   */
  readonly opaque: string | null;
  /** Whether the table has another file, and changes may never have been sent: see file.ts. */
  readonly replaced: boolean;
}

/** What was done to a table between two looks. Pure. */
export function compareDefinitions(
  before: TableDefinition,
  now: TableDefinition,
): DefinitionChange {
  const then = new Map(before.columns.map((column) => [column.attnum, column]));
  const here = new Map(now.columns.map((column) => [column.attnum, column]));
  const kept = now.columns.flatMap((column) => {
    const earlier = then.get(column.attnum);
    return earlier ? [{ earlier, column }] : [];
  });
  return {
    added: now.columns.filter(({ attnum }) => !then.has(attnum)),
    dropped: before.columns.filter(({ attnum }) => !here.has(attnum)),
    renamed: kept.flatMap(({ earlier, column }) =>
      earlier.name === column.name ? [] : [{ from: earlier.name, to: column.name }],
    ),
    opaque: opaqueReason(before, now, kept),
    replaced: isReplaced(before, now),
  };
}

type Kept = readonly { readonly earlier: ColumnDefinition; readonly column: ColumnDefinition }[];

function opaqueReason(before: TableDefinition, now: TableDefinition, kept: Kept): string | null {
  if (before.oid !== now.oid) return 'was dropped and made anew on the source';
  if (before.named !== undefined && before.named !== now.named) {
    return 'had another name, schema or owner for a time on the source: its changes may have come under that name';
  }
  const named = new Map(before.columns.map((column) => [column.name, column.attnum]));
  const taken = now.columns.find(({ name, attnum }) => (named.get(name) ?? attnum) !== attnum);
  if (taken) return `has another column ${taken.name} than before on the source`;
  const known = new Set([...before.columns.map(({ attnum }) => attnum), ...before.dropped]);
  // Added and dropped between two looks: its name may be another column's now, and messages tell only names.
  if (now.dropped.some((attnum) => !known.has(attnum))) {
    return 'had a column added and dropped again on the source';
  }
  for (const { earlier, column } of kept) {
    if (earlier.typeOid !== column.typeOid || earlier.typmod !== column.typmod) {
      return `had the type of column ${column.name} changed on the source`;
    }
    if (earlier.generated !== column.generated) {
      return `had the expression of column ${column.name} changed on the source`;
    }
  }
  // VACUUM FULL and TRUNCATE put other files in place, too, but leave the columns' catalog rows alone.
  if (before.filenode === now.filenode) return null;
  const altered = kept.find(
    ({ earlier, column }) => column.generated === '' && earlier.version !== column.version,
  );
  if (altered) return `was rewritten on the source, with column ${altered.column.name} altered`;
  const old = new Set(before.columns.map(({ attnum }) => attnum));
  const filled = now.columns.find(({ attnum, generated }) => generated === '' && !old.has(attnum));
  return filled ? `was rewritten on the source to fill column ${filled.name}` : null;
}
