/**
 * What the target has already: schemas and extensions that are not created again, and the selected tables, which must either all
 * be absent (walferry creates them) or all exist without rows (walferry uses them).
 */
import { listed } from '../../contract/listed.ts';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { ArchiveEntry } from '../archive/archive.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import { underAnyPath } from '../session/planning.ts';

/**
 * Checks the root tables that partitions go through: the operator creates them, whatever walferry creates otherwise.
 * @throws MigrationError `SchemaFailed` naming those that do not exist, or hold rows.
 */
export async function requireRoots(
  target: pg.ClientBase,
  roots: readonly TableName[],
): Promise<void> {
  if (roots.length === 0) return;
  if ((await findTables(target, roots)) === 'absent') {
    throw refused(
      `tables named by "viaPartitionRoot" are not on the target: ${list(roots)}; create them there`,
    );
  }
  const filled = await withRows(
    target,
    roots.map(({ schema, name }) => ({ schema, name, sql: quoted({ schema, name }) })),
  );
  if (filled.length > 0) {
    throw refused(`tables on the target hold rows: ${list(filled)}; empty them`);
  }
}

/** Tables that one query checks for a first row; bounds the statement's size and its locks. */
const TABLES_PER_QUERY = 200;
const NAMES_SHOWN = 10;

/**
 * Whether the selected tables exist on the target.
 * @throws MigrationError `SchemaFailed` naming the tables when only some exist, when one holds rows, or when something else has
 *   a table's name.
 */
export async function findTables(
  target: pg.ClientBase,
  tables: readonly TableName[],
): Promise<'absent' | 'empty'> {
  const { rows } = await target.query<{
    schema: string;
    name: string;
    relkind: string;
    sql: string;
  }>(
    /* sql */ `
    select n.nspname as schema, c.relname as name, c.relkind, format('%I.%I', n.nspname, c.relname) as sql
      from unnest($1::text[], $2::text[]) as wanted(schema, name)
      join pg_catalog.pg_namespace n on n.nspname = wanted.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name`,
    [tables.map(({ schema }) => schema), tables.map(({ name }) => name)],
  );
  const clashes = rows.filter(({ relkind }) => relkind !== 'r' && relkind !== 'p');
  if (clashes.length > 0) {
    throw refused(`other objects on the target have the names of tables: ${list(clashes)}`);
  }
  if (rows.length === 0) return 'absent';
  if (rows.length < tables.length) {
    const there = new Set(rows.map(({ schema, name }) => `${schema}.${name}`));
    const absent = tables.filter(({ schema, name }) => !there.has(`${schema}.${name}`));
    throw refused(`${describeMixed(rows, absent)}; drop the former or create the latter`);
  }
  const filled = await withRows(
    target,
    rows.filter(({ relkind }) => relkind === 'r'),
  );
  if (filled.length > 0) {
    throw refused(
      `tables on the target hold rows: ${list(filled)}; empty them, drop them, or exclude them`,
    );
  }
  return 'empty';
}

/** Why the target can be used neither as an empty one nor as a complete one. */
export function describeMixed(there: readonly TableName[], absent: readonly TableName[]): string {
  return `the target has some of the tables but not all: ${list(there)} exist, ${list(absent)} are missing`;
}

/** The tables (with their quoted name as `sql`) that hold at least one row; a partitioned table's partitions count. */
export async function withRows<T extends { readonly sql: string }>(
  target: pg.ClientBase,
  tables: readonly T[],
): Promise<T[]> {
  const filled: T[] = [];
  for (let at = 0; at < tables.length; at += TABLES_PER_QUERY) {
    const some = tables.slice(at, at + TABLES_PER_QUERY);
    const { rows: kinds } = await target.query<{ partitioned: boolean }>(
      /* sql */ `
      select coalesce((select c.relkind = 'p' from pg_catalog.pg_class c where c.oid = to_regclass(t.sql)), false) as partitioned
        from unnest($1::text[]) with ordinality as t (sql, at) order by t.at`,
      [some.map(({ sql }) => sql)],
    );
    const queries = some.map(
      ({ sql }, i) =>
        `select ${i} as i where exists (select from ${kinds[i]?.partitioned === true ? '' : 'only '}${sql})`,
    );
    const { rows } = await underAnyPath(target, () =>
      target.query<{ i: number }>(queries.join(' union all ')),
    );
    for (const { i } of rows) {
      const table = some[i];
      if (table !== undefined) filled.push(table);
    }
  }
  return filled;
}

const NAMED_ALONE = new Set(['SCHEMA', 'EXTENSION']);

/**
 * Numbers of the archive's schemas and extensions that the target has already, and of these types.
 * @param types entries of types that count as present when the target has a type of that name.
 */
export async function findPresent(
  target: pg.ClientBase,
  entries: readonly ArchiveEntry[],
  types: ReadonlySet<number>,
): Promise<Set<number>> {
  const { rows } = await target.query<{ kind: string; schema: string | null; name: string }>(
    /* sql */ `
    select 'SCHEMA' as kind, null as schema, nspname as name from pg_catalog.pg_namespace
    union all select 'EXTENSION', null, extname from pg_catalog.pg_extension
    union all select 'TYPE', n.nspname, t.typname
      from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
     where $1 and n.nspname not in ('pg_catalog', 'information_schema')`,
    [types.size > 0],
  );
  const line = (kind: string, schema: string | null, name: string) =>
    JSON.stringify([kind, schema, name]);
  const there = new Set(rows.map(({ kind, schema, name }) => line(kind, schema, name)));
  return new Set(
    entries
      .filter(({ id, kind, schema, name }) =>
        types.has(id)
          ? there.has(line('TYPE', schema, name))
          : NAMED_ALONE.has(kind) && there.has(line(kind, null, name)),
      )
      .map(({ id }) => id),
  );
}

function list(tables: readonly TableName[]): string {
  return listed(tables.map(nameOf), NAMES_SHOWN);
}

function refused(message: string): MigrationError {
  return new MigrationError('SchemaFailed', message);
}
