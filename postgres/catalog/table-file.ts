/**
 * The file that holds a table's rows, and whether a new one can mean that changes were never sent. An unlogged table writes no
 * WAL; SET UNLOGGED and SET LOGGED each create a new file and leave no other trace, so a table that was unlogged in between has a
 * different file.
 *
 * So do tables after VACUUM FULL, CLUSTER, SET TABLESPACE and TRUNCATE, which lose nothing. A witness distinguishes them:
 * something that both SETs replace and those statements keep. That is the TOAST table (a rewriting ALTER TABLE creates a new one,
 * VACUUM FULL and CLUSTER change its contents, TRUNCATE its file) or, from 15 on, the files of the sequences that the table owns,
 * which change persistence with it. A table with neither has no witness: only a TRUNCATE in the stream explains its new file, and
 * only if nothing else can have created the file.
 */

import type pg from 'pg';
import type { TableName } from './selection.ts';
import { quoted } from './table-name.ts';

export interface FileState {
  /** Changes with every rewrite (and with TRUNCATE, VACUUM FULL, CLUSTER). */
  readonly filenode: number;
  /** `p` permanent, `u` unlogged. Absent in definitions that earlier versions stored, like the witness. */
  readonly persistence?: 'p' | 'u' | undefined;
  /** What SET UNLOGGED and SET LOGGED replace; empty if the table has no witness. */
  readonly witness?: string | undefined;
  /**
   * The transaction (32 bits) that wrote the table's catalog row; null if its earlier commands may include SET UNLOGGED and SET
   * LOGGED of the table. If that transaction truncated the table, the stream has all changes since then.
   */
  readonly emptiedBy?: string | null | undefined;
}

/** The file's part of a table definition. */
export function fileOf({ filenode, persistence, witness, emptiedBy }: FileState): FileState {
  return { filenode, persistence, witness, emptiedBy };
}

export const WITNESS = /* sql */ `
  case when c.relkind = 'r' then coalesce(
    -- The pg_attribute rows of a TOAST table are written only when it is created: with the oid they identify it.
    (select pg_catalog.format('toast %s since %s', a.attrelid::int8, a.xmin)
       from pg_catalog.pg_attribute a where a.attrelid = c.reltoastrelid and a.attnum = 1),
    case when pg_catalog.current_setting('server_version_num')::int4 >= 150000 then
      (select pg_catalog.string_agg(pg_catalog.format('sequence %s since %s in %s', s.oid::int8, d.xmin, s.relfilenode::int8),
                                    ', ' order by s.oid)
         from pg_catalog.pg_depend d
         join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = c.oid and d.refobjsubid > 0
          and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('a', 'i')) end, '')
  else '' end`;

/**
 * SQL: for the tables with the oids `$1` and everything else that their transactions wrote, how many earlier commands of the
 * transaction left no row in `pg_class`. Each file that a TRUNCATE creates (table, TOAST, index, sequence) is one command that
 * leaves a row. Rebuilding a table's indexes takes one more command without a row; it is not counted between an index and the
 * next table's row, so those tables may report one command too few. Rows locked or updated since have lost their command number
 * and are skipped.
 */
export const UNSEEN_COMMANDS = /* sql */ `
  select g.oid, least(g.missing, g.missing - sum(g.gap) over (partition by g.xmin order by g.cmin) + 1) as commands
    from (select w.oid, w.xmin::text as xmin, w.cmin::text::int8 as cmin,
                 w.cmin::text::int8
                   - (dense_rank() over (partition by w.xmin::text order by w.cmin::text::int8) - 1) as missing,
                 case when lag(w.relkind) over list = 'i' and lag(w.cmin::text::int8) over list = w.cmin::text::int8 - 2
                      then 1 else 0 end as gap
            from pg_catalog.pg_class w
           where w.xmax::text = '0'
             and w.xmin::text in (select a.xmin::text from pg_catalog.pg_class a where a.oid = any($1::oid[]))
          window list as (partition by w.xmin::text order by w.cmin::text::int8)) g`;

/**
 * A TRUNCATE hides changes if SET UNLOGGED and SET LOGGED follow it in its transaction. Those leave at least four commands
 * without a row: the TRUNCATE and the first swap, whose rows are overwritten, and the two temporary heaps that are swapped and
 * dropped. Neither the first swap nor its drop can lie between an index and a table. So at most two such commands prove that this
 * did not happen, and leave room for what usually precedes a TRUNCATE.
 */
const UNSEEN_AT_MOST = 2;

/** SQL: the fields of {@link FileState} over `c` and `before`, its row of {@link UNSEEN_COMMANDS} if any. */
export const FILE_STATE = /* sql */ `
  c.relfilenode::int8::float8 as filenode, c.relpersistence as persistence, ${WITNESS} as witness,
  case when before.commands <= ${UNSEEN_AT_MOST} then c.xmin::text end as "emptiedBy"`;

/** Whether the table has a new file and no witness proves that all changes were sent. Pure. */
export function isReplaced(before: FileState, now: FileState): boolean {
  if (before.filenode === now.filenode) return false;
  return before.witness === undefined || before.witness === '' || before.witness !== now.witness;
}

/** A table on the target and the file with its rows. */
export interface Keeper extends Pick<FileState, 'filenode' | 'witness'> {
  readonly oid: number;
  /** By attribute number of non-generated columns: the transaction that wrote the catalog row. Unset by earlier versions. */
  readonly written?: Readonly<Record<string, string>>;
  /** Digest of the files of all partitions of a partitioned table; empty for other tables, unset by earlier versions. */
  readonly files?: string;
}

export const PARTITION_FILES = /* sql */ `
  case when c.relkind = 'p' then coalesce((
    with recursive below (oid) as (
      select i.inhrelid from pg_catalog.pg_inherits i where i.inhparent = c.oid
      union all
      select i.inhrelid from below join pg_catalog.pg_inherits i on i.inhparent = below.oid)
    select md5(string_agg(format('%s %s', p.oid::int8, p.relfilenode::int8), ',' order by p.oid))
      from below join pg_catalog.pg_class p on p.oid = below.oid where p.relkind = 'r'), '') else '' end`;

export async function readKeepers(
  client: pg.ClientBase,
  oids: readonly number[],
): Promise<Map<number, Keeper>> {
  const { rows } = await client.query<Keeper>(
    /* sql */ `select c.oid::int8::float8 as oid, c.relfilenode::int8::float8 as filenode, ${WITNESS} as witness,
                        coalesce((select jsonb_object_agg(a.attnum, a.xmin::text) from pg_catalog.pg_attribute a
                                   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), '{}') as written,
                        ${PARTITION_FILES} as files
                 from pg_catalog.pg_class c where c.oid = any($1::oid[])`,
    [oids],
  );
  return new Map(rows.map((row) => [row.oid, row]));
}

/**
 * Whether the table's rows may be gone: it is a different table, or it was temporarily unlogged and a crash may have emptied it.
 * Files of walferry's TRUNCATEs are recorded; without a witness every other new file counts, even one of VACUUM FULL. Pure.
 */
export function mayBeEmptied(before: Keeper, now: Keeper): boolean {
  return before.oid !== now.oid || isReplaced(before, now);
}

/**
 * Whether a column may temporarily have had another type, which rounded or truncated its values: the rows are in a different file
 * and the column was altered. The sequences of a table do not show that. Pure.
 */
export function mayBeCut(before: Keeper, now: Keeper): boolean {
  const { written = {}, files } = now;
  const rewritten = before.files !== undefined && before.files !== files;
  if (before.filenode === now.filenode && !rewritten) return false;
  return Object.entries(before.written ?? {}).some(
    ([attnum, xid]) => written[attnum] !== undefined && written[attnum] !== xid,
  );
}

/** Message for an unlogged table that is not ignored; follows the table's name. */
export function unloggedText(table: TableName): string {
  return `is unlogged on the source, so its changes are not sent: run alter table ${quoted(table)} set logged there, then resume to resync it`;
}
