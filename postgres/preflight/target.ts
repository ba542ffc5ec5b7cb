/** The facts of the target. Changes nothing: every test is rolled back. */
import pg from 'pg';
import { sqlstate, SQLSTATE } from '../connection/failure.ts';
import { readCollationVersions, readPartitionKeys } from '../catalog/partition-key.ts';
import { readRelationsNamed } from '../catalog/read-relations.ts';
import { destinationsOf } from '../catalog/root.ts';
import { readSchemaRights } from '../catalog/schema-right.ts';
import { keyOfName } from '../catalog/table-name.ts';
import type { TableName } from '../catalog/selection.ts';
import { readUnlogged } from '../catalog/unlogged.ts';
import { withRows } from '../schema/existing.ts';
import { createsTables } from './facts.ts';
import type {
  ControlFacts,
  EventTriggerRight,
  RootFacts,
  ServerFacts,
  SourceFacts,
  RoleRight,
  TargetFacts,
  TargetTable,
} from './facts.ts';
import { attempt } from './attempt.ts';
import { readOffered, type WantedExtension } from './read/extension.ts';
import { readMissingCollations } from './read/locale.ts';
import { readTaken, readTargetObjects } from './read/object.ts';
import { readAbsent } from './read/object-name.ts';
import { readRegistered } from '../store/registered.ts';

/** @param source null if unreadable: then tables and schemas are not compared. */
export async function readTarget(
  client: pg.ClientBase,
  server: ServerFacts,
  source: SourceFacts | null,
): Promise<TargetFacts> {
  const relations = source?.relations ?? [];
  const wanted = destinationsOf(relations);
  const roots = destinationsOf(relations.filter(({ viaRoot }) => viaRoot !== null));
  const { rows } = await client.query<{ may: boolean }>(
    /* sql */ `select has_database_privilege(current_database(), 'create') as may`,
  );
  const tables = await readTables(client, wanted, roots);
  return {
    ...server,
    mayCreateSchemas: rows[0]?.may === true,
    closedSchemas: await readClosedSchemas(client, source?.schemas ?? []),
    mayReplicate: await mayReplicate(client),
    schemas: await readSchemas(client, source?.roles.schemas.map(({ schema }) => schema) ?? []),
    schemaRights: await readSchemaRights(client),
    eventTriggers: await tryEventTrigger(client, source?.objects.eventTriggerOwners ?? []),
    tables,
    roots: await readRoots(client, roots),
    given: await readRelationsNamed(
      client,
      tables.filter(({ isRoot }) => !isRoot),
    ),
    unlogged: await readUnlogged(client, wanted),
    control: await readControl(client),
    objects: await readTargetObjects(client, wanted, roots),
    // If the operator created the tables, extensions are theirs, too. The test would fire event triggers and load libraries.
    ...(createsTables({ tables }) ? await readExtensionFacts(client, source) : NO_EXTENSIONS),
    missingCollations: await readMissingCollations(client, source?.collations ?? []),
    partitionKeys: await readPartitionKeys(client, await partitionedOids(client, tables)),
    collationVersions: await readCollationVersions(
      client,
      source?.partitionKeys.flatMap(({ collations }) => collations) ?? [],
    ),
    absentRelations: await readAbsent(
      client,
      source?.objectNames.flatMap(({ named }) => named ?? []) ?? [],
    ),
    taken: await readTaken(client, source?.created ?? []),
    roles: await readRoles(client),
  };
}

const NO_EXTENSIONS = { extensions: [], members: [] };

async function readExtensionFacts(
  client: pg.ClientBase,
  source: SourceFacts | null,
): Promise<Pick<TargetFacts, 'extensions' | 'members'>> {
  const { offered, members } = await readOffered(client, wantedOf(source));
  return { extensions: offered, members };
}

async function partitionedOids(
  client: pg.ClientBase,
  tables: readonly TargetTable[],
): Promise<number[]> {
  const partitioned = tables.filter(({ kind }) => kind === 'p');
  return (await readRelationsNamed(client, partitioned)).map(({ oid }) => oid);
}

/** Extensions that are created here if missing. */
function wantedOf(source: SourceFacts | null): readonly WantedExtension[] {
  return (source?.extensions ?? []).filter(({ name }) => !source?.left.extensions.includes(name));
}

async function readClosedSchemas(
  client: pg.ClientBase,
  names: readonly string[],
): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    /* sql */ `select nspname as name from pg_catalog.pg_namespace
                where nspname = any($1::text[]) and not has_schema_privilege(oid, 'create') order by 1`,
    [names],
  );
  return rows.map(({ name }) => name);
}

/** Only a test shows it: the right is an attribute, a grant (from 15 on), or a hosted server's rule. */
async function mayReplicate(client: pg.ClientBase): Promise<boolean> {
  await client.query(/* sql */ `begin`);
  try {
    await client.query(/* sql */ `set local session_replication_role = replica`);
    return true;
  } catch (error) {
    if (sqlstate(error) === SQLSTATE.insufficientPrivilege) return false;
    throw error;
  } finally {
    await client.query(/* sql */ `rollback`);
  }
}

async function readSchemas(client: pg.ClientBase, names: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    /* sql */ `select nspname as name from pg_catalog.pg_namespace where nspname = any($1::text[])`,
    [names],
  );
  return rows.map(({ name }) => name);
}

/**
 * Only a test shows this right, too: PostgreSQL requires a superuser, hosted servers allow their admin roles. It is rolled back,
 * and no other session sees it.
 */
async function tryEventTrigger(
  client: pg.ClientBase,
  owners: readonly string[],
): Promise<EventTriggerRight> {
  // No owners means no event triggers.
  if (owners.length === 0) return { may: null, refusedOwners: [] };
  await client.query(/* sql */ `begin`);
  try {
    // A refusal here (no right to temporary objects, another event trigger) does not matter: the server checks the right to
    // create an event trigger before it looks for the function.
    await attempt(
      client,
      /* sql */ `create function pg_temp.walferry_try() returns event_trigger language plpgsql as 'begin end'`,
    );
    const state = await attempt(
      client,
      /* sql */ `create event trigger walferry_try on ddl_command_end execute function pg_temp.walferry_try()`,
    );
    // Only this SQLSTATE means a missing right; other errors concern only this test.
    if (state === SQLSTATE.insufficientPrivilege) return { may: false, refusedOwners: [] };
    const refusedOwners: string[] = [];
    for (const owner of state === null ? owners : []) {
      const refusal = await attempt(
        client,
        /* sql */ `alter event trigger walferry_try owner to ${pg.escapeIdentifier(owner)}`,
      );
      if (refusal === SQLSTATE.insufficientPrivilege || refusal === SQLSTATE.undefinedObject) {
        refusedOwners.push(owner);
      }
    }
    return { may: true, refusedOwners };
  } finally {
    await client.query(/* sql */ `rollback`);
  }
}

interface TableRow extends Omit<TargetTable, 'hasRows' | 'isRoot'> {
  readonly sql: string;
  readonly readable: boolean;
}

async function readTables(
  client: pg.ClientBase,
  wanted: readonly TableName[],
  roots: readonly TableName[],
): Promise<TargetTable[]> {
  const { rows } = await client.query<TableRow>(
    /* sql */ `
    select n.nspname as schema, c.relname as name, c.relkind as kind,
           c.relispartition as "isPartition", format('%I.%I', n.nspname, c.relname) as sql,
           pg_has_role(c.relowner, 'usage') as owned,
           usage.granted and has_table_privilege(c.oid, 'select') as readable,
           usage.granted and has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
             and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete')
             and has_table_privilege(c.oid, 'truncate') as writable,
           c.relrowsecurity and (c.relforcerowsecurity or not pg_has_role(c.relowner, 'usage'))
             and not (select rolsuper or rolbypassrls from pg_catalog.pg_roles
                       where rolname = current_user) as "rowSecurity"
      from unnest($1::text[], $2::text[]) as wanted (schema, name)
      join pg_catalog.pg_namespace n on n.nspname = wanted.schema
      cross join lateral (select has_schema_privilege(n.oid, 'usage') as granted) usage
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
     where c.relkind <> 'i' and c.relkind <> 'I'
     order by 1, 2`,
    [wanted.map(({ schema }) => schema), wanted.map(({ name }) => name)],
  );
  const rooted = new Set(roots.map(keyOfName));
  const isRoot = (row: TableName) => rooted.has(keyOfName(row));
  const visible = rows.filter(
    (row) =>
      (row.kind === 'r' || (row.kind === 'p' && isRoot(row))) && row.readable && !row.rowSecurity,
  );
  const filled = new Set((await withRows(client, visible)).map(({ sql }) => sql));
  const checked = new Set(visible.map(({ sql }) => sql));
  return rows.map(({ sql, readable: _, ...table }) => ({
    ...table,
    isRoot: isRoot(table),
    // A partitioned table holds no rows itself, and its partitions are listed separately, except those of a root.
    hasRows: checked.has(sql)
      ? filled.has(sql)
      : table.kind === 'p' && !isRoot(table)
        ? false
        : null,
  }));
}

async function readRoots(client: pg.ClientBase, names: readonly TableName[]): Promise<RootFacts[]> {
  const relations = await readRelationsNamed(client, names);
  const { rows } = await client.query<{
    oid: number;
    partitions: number | null;
    indexes: string[][];
  }>(
    /* sql */ `
    select c.oid::int8::float8 as oid,
           case when c.relkind = 'p' then
             (select count(*)::int4 from pg_catalog.pg_partition_tree(c.oid) t where t.isleaf) end as partitions,
           coalesce((select json_agg((select json_agg(a.attname order by k.at)
                              from unnest(i.indkey::int2[]) with ordinality k (attnum, at)
                              join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                             where k.at <= i.indnkeyatts))
              from pg_catalog.pg_index i
              join pg_catalog.pg_class x on x.oid = i.indexrelid
              join pg_catalog.pg_am m on m.oid = x.relam and m.amname in ('btree', 'hash')
             where i.indrelid = c.oid and i.indisvalid and i.indpred is null and i.indexprs is null), '[]') as indexes
      from pg_catalog.pg_class c where c.oid = any($1::oid[])`,
    [relations.map(({ oid }) => oid)],
  );
  const byOid = new Map(rows.map(({ oid, ...facts }) => [oid, facts]));
  return relations.map((relation) => ({
    relation,
    partitions: byOid.get(relation.oid)?.partitions ?? null,
    indexes: byOid.get(relation.oid)?.indexes ?? [],
  }));
}

/** The state that an earlier or another migration stores on the target. */
async function readControl(client: pg.ClientBase): Promise<ControlFacts> {
  const { rows } = await client.query<{ usable: boolean; ours: boolean }>(/* sql */ `
    select has_schema_privilege(n.oid, 'usage')
             and coalesce(has_table_privilege(c.oid, 'select'), false) as usable,
           c.oid is not null as ours
      from pg_catalog.pg_namespace n
      left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'migration'
     where n.nspname = 'walferry'`);
  const [schema] = rows;
  if (!schema) return { state: 'absent', migrations: [] };
  if (!schema.ours) return { state: 'foreign', migrations: [] };
  if (!schema.usable) return { state: 'hidden', migrations: [] };
  return { state: 'readable', migrations: await readRegistered(client) };
}

async function readRoles(client: pg.ClientBase): Promise<Map<string, RoleRight>> {
  const { rows } = await client.query<RoleRight & { name: string }>(/* sql */ `
    select rolname as name, pg_has_role(oid, 'member') as member,
           pg_has_role(oid, 'usage') and case when current_setting('server_version_num')::int4 >= 160000
                                              then pg_has_role(oid, 'set') else true end as usable
      from pg_catalog.pg_roles`);
  return new Map(rows.map(({ name, member, usable }) => [name, { member, usable }]));
}
