/**
 * The file that holds a table's rows, and whether a new one can mean that changes were never sent. An unlogged table writes no
 * WAL; SET UNLOGGED and SET LOGGED each create a new file and leave no other trace, so a table that was unlogged between two checks
 * has a different file.
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
  /** Another number after a rewrite (and after TRUNCATE, VACUUM FULL, CLUSTER). */
  readonly filenode: number;
  /** `p` permanent, `u` unlogged. Absent in shapes that earlier code stored, like the witness. */
  readonly persistence?: 'p' | 'u' | undefined;
  /** What SET UNLOGGED and SET LOGGED replace; empty where the table has nothing of the kind. */
  readonly witness?: string | undefined;
  /**
   * The transaction (32 bits) that wrote the catalog's row of the table; null where it did so much before that it may have made
   * the table unlogged and logged again. If that transaction emptied the table, its changes since then are all in the stream.
   */
  readonly emptiedBy?: string | null | undefined;
}

/** The part of a shape that is about the file. */
export function fileOf({ filenode, persistence, witness, emptiedBy }: FileState): FileState {
  return { filenode, persistence, witness, emptiedBy };
}

/** SQL over `c`, the table's row of `pg_class`. */
export const WITNESS = /* sql */ `
  case when c.relkind = 'r' then coalesce(
    -- Rows of pg_attribute of a TOAST table are never written again: with the oid they are its birth.
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
 * SQL: for the tables with the oids `$1`, and what their transactions wrote, how many commands came before in the transaction and
 * left no row of `pg_class` behind. Each file that a TRUNCATE makes (table, TOAST, index, sequence) is a command that leaves one;
 * rebuilding a table's indexes takes one more that does not, which is forgiven between an index and the next table's row: those
 * tables may have one such command less. A row that was locked or touched since has lost its command's number, and is left out.
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
 * A TRUNCATE hides changes if SET UNLOGGED and SET LOGGED follow it in its transaction. Those leave at least four commands without
 * a row: the TRUNCATE and the first swap, whose rows are written again, and the two tables that are made to be swapped and
 * dropped. None of the first swap and of its drop can stand between an index and a table. So two commands prove that there was
 * none of that, and leave room for what usually comes before a TRUNCATE.
 */
const UNSEEN_AT_MOST = 2;

/** The fields of {@link FileState}, over the same, and `before`, its row of {@link UNSEEN_COMMANDS} if any. */
export const FILE_STATE = /* sql */ `
  c.relfilenode::int8::float8 as filenode, c.relpersistence as persistence, ${WITNESS} as witness,
  case when before.commands <= ${UNSEEN_AT_MOST} then c.xmin::text end as "emptiedBy"`;

/** Whether the table has a new file, and no witness that all changes were sent meanwhile. Pure. */
export function isReplaced(before: FileState, now: FileState): boolean {
  if (before.filenode === now.filenode) return false;
  return before.witness === undefined || before.witness === '' || before.witness !== now.witness;
}

/** A table on the target, whose rows are in this file. */
export interface Keeper extends Pick<FileState, 'filenode' | 'witness'> {
  readonly oid: number;
  /** By attribute number, the transaction that wrote the catalog row of each column that is not generated; unset in earlier code's. */
  readonly written?: Readonly<Record<string, string>>;
  /** A digest of the files of a partitioned table's partitions on all levels; empty for others, unset in earlier code's. */
  readonly files?: string;
}

/** SQL over `c`: see {@link Keeper.files}. */
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
 * Whether the rows in it may be gone: it is another table, or was unlogged for a time, in which a crash emptied it. Files of our own
 * TRUNCATEs are recorded with them; without a witness any other new file counts, also that of a VACUUM FULL. Pure.
 */
export function mayBeEmptied(before: Keeper, now: Keeper): boolean {
  return before.oid !== now.oid || isReplaced(before, now);
}

/**
 * Whether a column of it may have had another type for a time, which rounded or cut its values: the rows are in another file, and the
 * column was altered. The sequences of a table tell nothing of that. Pure.
 */
export function mayBeCut(before: Keeper, now: Keeper): boolean {
  const { written = {}, files } = now;
  const rewritten = before.files !== undefined && before.files !== files;
  if (before.filenode === now.filenode && !rewritten) return false;
  return Object.entries(before.written ?? {}).some(
    ([attnum, xid]) => written[attnum] !== undefined && written[attnum] !== xid,
  );
}

/** What to do about an unlogged table that is not accepted; follows the table's name. */
export function unloggedText(table: TableName): string {
  return `is unlogged on the source, so its changes are not sent; alter table ${quoted(table)} set logged there, then resume: it is copied again`;
}
