/**
 * Locks the tables of a chunk on the source and compares them with the snapshot. Only these tables are locked, and only for the
 * chunk: locking all tables during the whole copy would make an application's TRUNCATE wait, and every reader behind it.
 */
import type pg from 'pg';
import {
  readDisguised,
  stillTyped,
  type DisguisedColumn,
} from '../catalog/binary-coercible-type.ts';
import type { TableName } from '../catalog/selection.ts';
import { quoted } from '../catalog/table-name.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { queryTogether } from '../session/query-together.ts';
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
  /** Columns to copy, in the source's order; the target computes generated ones. */
  readonly columns: readonly string[];
  /** Its columns' binary formats. */
  readonly forms: BinaryForms;
  /**
   * Whether the table is unchanged since the snapshot. A later rewrite or TRUNCATE creates a new file, in which the snapshot
   * silently sees no or too few rows; a table that was dropped or replaced counts as changed, too.
   */
  readonly same: boolean;
}

/** For one try; between tries the caller can report the wait. */
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Locks the tables in access share mode until the transaction ends and compares them with the snapshot. The transaction must have
 * its snapshot.
 * @param withForms whether to read the columns' binary formats.
 * @param waiting called after each failed try to lock a table; throws to give up.
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

/** @returns false if there is no table of that name now. */
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
 * Locks all tables in one statement; if one fails, the locks of the others are released. The timeout applies only to this
 * statement, not to the COPY that follows.
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

/** `pg_class` is read under the snapshot; `to_regclass` and `pg_relation_filenode` return the current state. */
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
                    -- COPY resolves names by the current catalog: columns that swapped their names would swap their values.
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

/** COPY also prints by the current types: a timestamptz column that is temporarily a timestamp is printed without its zone. */
async function readRetyped(
  source: pg.ClientBase,
  tables: readonly ChunkTable[],
  rows: readonly Row[],
): Promise<ReadonlySet<number>> {
  const queries = tables.flatMap((table, i) => {
    const row = rows[i];
    if (row?.same !== true || row.disguised.length === 0) return [];
    return [`select ${table.id} as id, ${stillTyped(table, row.disguised)} as still`];
  });
  if (queries.length === 0) return new Set();
  const { rows: found } = await source.query<{ id: number; still: boolean }>(
    queries.join(' union all '),
  );
  return new Set(found.flatMap(({ id, still }) => (still ? [] : [id])));
}
