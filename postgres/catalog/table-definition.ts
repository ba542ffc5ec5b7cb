/**
 * The definition of a table at one moment, and the differences between two definitions. Names and types are not enough: `ALTER
 * TYPE … USING` to the same type, dropping and re-adding a column, and swapping the names of two columns change what a value
 * means without changing names or types. So a definition includes attribute numbers (never reused) and, for each column, the
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
} from './table-file.ts';

export interface ColumnDefinition {
  readonly name: string;
  readonly attnum: number;
  readonly typeOid: number;
  readonly typmod: number;
  /** `s` stored, `v` virtual, empty if not generated. */
  readonly generated: string;
  /** Transaction that last wrote the catalog row (`xmin`, 32 bits). */
  readonly version: string;
  /** Value of the column in rows that are older than it (`attmissingval`); null for NULL. */
  readonly missing: string | null;
  /** Whether the stream may omit the unchanged value in an update: types that can be TOASTed. */
  readonly varying: boolean;
}

export interface TableDefinition extends FileState {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly ColumnDefinition[];
  readonly dropped: readonly number[];
  /**
   * Transaction (32 bits) that last wrote the row of its type: only RENAME, SET SCHEMA and OWNER TO do. If it differs, changes
   * may have come under another name, and another table's under this one. Absent in definitions that earlier versions stored.
   */
  readonly named?: string | undefined;
  /** Links to its ancestors: oids and the transaction that created each link; empty for a table that is not a partition. */
  readonly place: string;
  /** Of a partitioned table (table-file.ts); absent in definitions that earlier versions stored. */
  readonly files?: string;
  /** Hash of all the above that DDL changes and of the indexes that identify rows; equal as long as no DDL touched the table. */
  readonly fingerprint: string;
}

/** A partition that was detached and attached again has a new link, even in the same place. */
const PLACE = /* sql */ `
  coalesce((
    select string_agg(format('%s under %s since %s', i.inhrelid::int8, i.inhparent::int8, i.xmin), ', ' order by i.inhrelid)
      from pg_catalog.pg_partition_ancestors(c.oid) a (relid)
      join pg_catalog.pg_inherits i on i.inhrelid = a.relid
     where c.relispartition), '')`;

/** Of a root: its partitions on all levels. Not `pg_partition_tree`, which waits for locks on partitions. */
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
 * Definitions of the existing tables with these oids; inside a transaction, what its snapshot sees.
 * @param files whether to read the digest of partitions' files, which takes time with many partitions; otherwise it is empty.
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

/** Fingerprints of tables at one moment, and the snapshot that saw them. */
export interface Fingerprints {
  readonly snapshot: string;
  /** In the order of the names; null if there is no such table. */
  readonly fingerprints: readonly (string | null)[];
  /** A schema whose row is not the expected one; null for none. */
  readonly schema: string | null;
}

/** One cheap query, run before every commit on the target. */
export async function lookAt(
  client: pg.ClientBase,
  names: readonly { readonly schema: string; readonly name: string }[],
  schemas: SchemaRows = new Map(),
): Promise<Fingerprints> {
  const { rows } = await client.query<{
    snapshot: string;
    fingerprints: (string | null)[];
    schema: string | null;
  }>({
    // Runs with every batch, and planning takes longer than execution. With JSON the planner assumes the same number of names for
    // all values, so a custom plan never looks cheaper than the generic one. With arrays it would plan every time.
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
   * Why the same DDL on the target may produce different rows, so the table needs a resync. Null if columns were only added,
   * dropped or renamed, and no column took the name of another one.
   */
  readonly opaque: string | null;
  /** Whether the table has a new file and changes may never have been sent: see table-file.ts. */
  readonly replaced: boolean;
}

/** What changed between two definitions of a table. Pure. */
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
  if (before.oid !== now.oid) return 'was dropped and recreated on the source';
  if (before.named !== undefined && before.named !== now.named) {
    return 'temporarily had another name, schema or owner on the source: its changes may have come under that name';
  }
  const named = new Map(before.columns.map((column) => [column.name, column.attnum]));
  const taken = now.columns.find(({ name, attnum }) => (named.get(name) ?? attnum) !== attnum);
  if (taken) return `has a different column ${taken.name} than before on the source`;
  const known = new Set([...before.columns.map(({ attnum }) => attnum), ...before.dropped]);
  // Added and dropped between two checks: another column may have its name now, and changes identify columns only by name.
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
  // VACUUM FULL and TRUNCATE also create new files, but do not write the columns' catalog rows.
  if (before.filenode === now.filenode) return null;
  const altered = kept.find(
    ({ earlier, column }) => column.generated === '' && earlier.version !== column.version,
  );
  if (altered) return `was rewritten on the source, with column ${altered.column.name} altered`;
  const old = new Set(before.columns.map(({ attnum }) => attnum));
  const filled = now.columns.find(({ attnum, generated }) => generated === '' && !old.has(attnum));
  return filled ? `was rewritten on the source to fill column ${filled.name}` : null;
}
