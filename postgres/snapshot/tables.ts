/**
 * The tables of a chunk on the source, locked and held against the snapshot. Only these tables are locked, and only for the chunk: a
 * lock on everything for the whole copy would make an application's TRUNCATE wait, and every reader behind it.
 */
import type pg from 'pg';
import { readDisguised, stillTyped, type DisguisedColumn } from '../catalog/disguise.ts';
import type { TableName } from '../catalog/selection.ts';
import { quoted } from '../catalog/table-name.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { queryTogether } from '../connection/together.ts';
import { binaryForms, type BinaryForms } from './binary.ts';

export interface ChunkTable {
  /** Number in the plan. */
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  /** The target's table for its rows. */
  readonly destination: TableName;
}

export interface CheckedTable extends ChunkTable {
  /** Columns to copy, in the source's order; generated ones are computed by the target itself. */
  readonly columns: readonly string[];
  /** What its columns look like in a binary copy. */
  readonly forms: BinaryForms;
  /**
   * Whether what the snapshot sees is what there is. A rewrite or TRUNCATE since then puts other files in place, and the snapshot
   * sees them empty or short, silently; a table that is gone, or another one under the name, is no better.
   */
  readonly same: boolean;
}

/** One look per so many milliseconds; between two the caller can be told that nothing moves. */
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Locks the tables in access share mode until the transaction ends and compares them with the snapshot. The transaction must have
 * its snapshot already.
 * @param withForms whether to read what the columns look like in a binary copy.
 * @param waiting called after each look at a table that somebody holds exclusively; it throws to give up.
 */
export async function lockTables(
  source: pg.ClientBase,
  tables: readonly ChunkTable[],
  waiting: (table: ChunkTable) => void,
  withForms: boolean,
): Promise<CheckedTable[]> {
  const locked = new Set<number>();
  if ((await tryLock(source, tables)) === 'locked') {
    for (const { id } of tables) locked.add(id);
  } else {
    for (const table of tables) {
      if (await lockTable(source, table, waiting)) locked.add(table.id);
    }
  }
  const checked = await check(source, tables, withForms);
  return checked.map((table) => ({ ...table, same: table.same && locked.has(table.id) }));
}

/** @returns false when there is no table of that name now. */
async function lockTable(
  source: pg.ClientBase,
  table: ChunkTable,
  waiting: (table: ChunkTable) => void,
): Promise<boolean> {
  for (;;) {
    const answer = await tryLock(source, [table]);
    if (answer === 'locked') return true;
    if (answer === 'absent') return false;
    waiting(table);
  }
}

/**
 * One statement for all; what was locked before another one failed is given back. The timeout is this statement's: the rows' own waits
 * are not ours to limit.
 */
async function tryLock(
  source: pg.ClientBase,
  tables: readonly ChunkTable[],
): Promise<'locked' | 'busy' | 'absent'> {
  const names = tables.map((table) => `only ${quoted(table)}`).join(', ');
  try {
    await queryTogether(
      source,
      /* sql */ `
      savepoint look;
      set local lock_timeout = ${LOCK_TIMEOUT_MS};
      lock table ${names} in access share mode;
      set local lock_timeout = 0;
      release savepoint look`,
    );
    return 'locked';
  } catch (error) {
    const state = sqlstate(error);
    if (state === undefined) throw error;
    await source.query(/* sql */ `rollback to savepoint look; release savepoint look`);
    if (state === SQLSTATE.undefinedTable || state === SQLSTATE.invalidSchemaName) return 'absent';
    if (state === SQLSTATE.lockNotAvailable) return 'busy';
    throw error;
  }
}

interface Row {
  at: number;
  same: boolean;
  columns: string[];
  forms: BinaryForms | null;
  disguised: DisguisedColumn[];
}

/** `pg_class` is what the snapshot sees; `to_regclass` and `pg_relation_filenode` answer what is. */
async function check(
  source: pg.ClientBase,
  tables: readonly ChunkTable[],
  withForms: boolean,
): Promise<CheckedTable[]> {
  const { rows } = await source.query<Row>(
    /* sql */ `
    select wanted.at::int as at,
           coalesce(c.oid = to_regclass(format('%I.%I', wanted.schema, wanted.name))
                    and c.relfilenode = pg_relation_filenode(c.oid)
                    -- COPY resolves names by the catalog of now: two columns that swapped names would swap their values.
                    and not exists (
                      select from pg_catalog.pg_attribute a
                        cross join lateral pg_catalog.pg_identify_object_as_address('pg_catalog.pg_class'::regclass, c.oid, a.attnum) now
                       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                         and now.object_names[3] is distinct from a.attname), false) as same,
           array(select a.attname::text from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
                  order by a.attnum) as columns,
           ${withForms ? binaryForms('c.oid') : 'null'} as forms,
           ${readDisguised('c.oid')} as disguised
      from unnest($1::text[], $2::text[]) with ordinality as wanted (schema, name, at)
      left join pg_catalog.pg_namespace n on n.nspname = wanted.schema
      left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
     order by wanted.at`,
    [tables.map(({ schema }) => schema), tables.map(({ name }) => name)],
  );
  const retyped = await readRetyped(source, tables, rows);
  return tables.map((table, i) => ({
    ...table,
    columns: rows[i]?.columns ?? [],
    forms: rows[i]?.forms ?? {},
    same: rows[i]?.same === true && !retyped.has(table.id),
  }));
}

/** COPY prints by the types of now as well: a timestamptz that is a timestamp for the moment is printed without its zone. */
async function readRetyped(
  source: pg.ClientBase,
  tables: readonly ChunkTable[],
  rows: readonly Row[],
): Promise<ReadonlySet<number>> {
  const looks = tables.flatMap((table, i) => {
    const row = rows[i];
    if (row?.same !== true || row.disguised.length === 0) return [];
    return [`select ${table.id} as id, ${stillTyped(table, row.disguised)} as still`];
  });
  if (looks.length === 0) return new Set();
  const { rows: found } = await source.query<{ id: number; still: boolean }>(
    looks.join(' union all '),
  );
  return new Set(found.flatMap(({ id, still }) => (still ? [] : [id])));
}
