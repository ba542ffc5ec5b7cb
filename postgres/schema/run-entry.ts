/** Runs one entry of the archive, in a transaction with the settings of prepareSession. */
import type pg from 'pg';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import type { ArchiveEntry } from '../archive/archive.ts';
import type { OwnerRights } from '../archive/owner.ts';

/** A name was not found: of a function, a type or another object, a table, a schema. */
export const NOT_FOUND: ReadonlySet<string | undefined> = new Set([
  SQLSTATE.undefinedFunction,
  SQLSTATE.undefinedObject,
  SQLSTATE.undefinedTable,
  SQLSTATE.invalidSchemaName,
]);

/**
 * Expressions that the server plans when it stores them. It inlines SQL functions, whose bodies may name objects without
 * their schema (earthdistance does); pg_dump's empty search_path does not find those.
 */
const PLANNED = / GENERATED ALWAYS AS \(/;

/** The application's own path, then the schemas of extensions. The statement itself qualifies all names. */
const WIDER_PATH = /* sql */ `
select pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', nullif(s.reset_val, ''),
         (select string_agg(distinct quote_ident(n.nspname), ', ') from pg_catalog.pg_extension e
            join pg_catalog.pg_namespace n on n.oid = e.extnamespace)), true)
  from pg_catalog.pg_settings s where s.name = 'search_path'`;

/** Runs the entry's statements. Rights that owners need temporarily are granted, and revoked before the first grants. */
export async function runEntry(
  client: pg.ClientBase,
  entry: Pick<ArchiveEntry, 'kind' | 'schema' | 'sql'>,
  rights: OwnerRights,
): Promise<void> {
  if (entry.kind === 'ACL') await rights.takeBack();
  await rights.lend(entry);
  if (!PLANNED.test(entry.sql)) {
    await client.query(entry.sql);
    return;
  }
  try {
    await client.query(`savepoint planned; ${entry.sql}\n; release savepoint planned`);
  } catch (error) {
    if (!NOT_FOUND.has(sqlstate(error))) throw error;
    await client.query('rollback to savepoint planned; release savepoint planned');
    await client.query(WIDER_PATH);
    await client.query(entry.sql);
    await client.query(/* sql */ `select pg_catalog.set_config('search_path', '', true)`);
  }
}
