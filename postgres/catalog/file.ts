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
   * The transaction (32 bits) that wrote the catalog's row of the table as the first thing that it did; null for a row that was written
   * later in its transaction. If that transaction emptied the table, the file is that of the TRUNCATE: a rewrite makes a table
   * before it puts the new file in place, so it never comes first.
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

/** The fields of {@link FileState}, over the same. A row that was locked or touched since has lost its command's number. */
export const FILE_STATE = /* sql */ `
  c.relfilenode::int8::float8 as filenode, c.relpersistence as persistence, ${WITNESS} as witness,
  case when c.xmax::text = '0' and c.cmin::text = '0' then c.xmin::text end as "emptiedBy"`;

/** Whether the table has a new file, and no witness that all changes were sent meanwhile. Pure. */
export function isReplaced(before: FileState, now: FileState): boolean {
  if (before.filenode === now.filenode) return false;
  return before.witness === undefined || before.witness === '' || before.witness !== now.witness;
}

/** What to do about an unlogged table that is not accepted; follows the table's name. */
export function unloggedText(table: TableName): string {
  return `is unlogged on the source, so its changes are not sent; alter table ${quoted(table)} set logged there, then resume: it is copied again`;
}
