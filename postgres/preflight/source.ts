/** The facts of the source. Reads only; the wal2json probe is in plugin.ts. */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input.ts';
import { readNullableColumns } from '../archive/nullable-child.ts';
import { readExtensionMembers, type ExtensionMember } from '../catalog/extension-member.ts';
import { readExtensions } from '../catalog/extension.ts';
import type { Relation } from '../catalog/relation.ts';
import { readRelations } from '../catalog/read-relations.ts';
import { readHiddenMappings } from '../catalog/user-mapping.ts';
import { isViaRoot } from '../catalog/root.ts';
import { keyOfName } from '../catalog/table-name.ts';
import { readSchemaRights } from '../catalog/schema-right.ts';
import { compileSelection, type TableName } from '../catalog/selection.ts';
import { readBlockers } from '../slot/blockers.ts';
import type {
  IdentityRemedy,
  NamedRoles,
  PluginFacts,
  ServerFacts,
  SlotFacts,
  SourceFacts,
  TableRight,
} from './facts.ts';
import { readPartitionKeys } from '../catalog/partition-key.ts';
import { readUnenforced } from './read/enforcement.ts';
import { readTextColumns } from './read/binary-form.ts';
import { readGeneratedReads } from './read/generated.ts';
import { readGuard } from './read/guard.ts';
import { readLeft } from './read/left.ts';
import { readWal } from './read/load.ts';
import { readUsedCollations } from './read/locale.ts';
import {
  readCreated,
  readGone,
  readObjects,
  readOwnedSequences,
  readTypesOf,
} from './read/object.ts';
import { readObjectNames } from './read/object-name.ts';

/** Objects of users: neither the system's nor ours. `n` is the row of the schema. */
const FOREIGN_TO_SYSTEM = /* sql */ `n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'walferry')`;

/** Reads everything except `server` and `plugin`, which the caller passes. */
export async function readSource(
  client: pg.ClientBase,
  input: MigrationInput,
  server: ServerFacts,
  plugin: PluginFacts,
): Promise<SourceFacts> {
  const relations = await readRelations(client, input.tables);
  const oids = relations.map(({ oid }) => oid);
  const unmoved = await readGone(client, oids);
  const unreadable = await readUnreadable(client, oids);
  const rowSecurity = await readRowSecurity(client, oids);
  const own = relations.filter(({ viaRoot }) => viaRoot === null).map(({ oid }) => oid);
  const given = await readTypesOf(
    client,
    relations.filter(isViaRoot).map(({ oid }) => oid),
  );
  const types = new Set(given.map(keyOfName));
  const isGiven = (one: TableName) => types.has(keyOfName(one));
  const rooted = relations.filter(({ viaRoot }) => viaRoot !== null).map(({ oid }) => oid);
  return {
    ...server,
    ...(await readSettings(client)),
    wal: await readWal(client, server.major),
    slots: await readSlots(client),
    plugin,
    transactions: await readBlockers(client, null),
    relations,
    idlePatterns: {
      ...(await readIdlePatterns(client, input)),
      viaPartitionRoot: input.tables.viaPartitionRoot.filter((pattern) => {
        const named = compileSelection({ include: [pattern], exclude: [] });
        return !relations.some((one) => isViaRoot(one) && named.includes(one));
      }),
      ignore: [...input.ignore.missingIdentity, ...input.ignore.unlogged].filter((pattern) => {
        const named = compileSelection({ include: [pattern], exclude: [] });
        return !relations.some((one) => named.includes(one));
      }),
    },
    remedies: await readRemedies(client, relations),
    unreadable,
    rowSecurity,
    unreadableSequences: await readUnreadableSequences(client),
    schemas: [...new Set(relations.map(({ schema }) => schema))],
    roles: await readRoles(client, own, unmoved, input.ignore.extensions),
    schemaRights: await readSchemaRights(client),
    unenforced: await readUnenforced(client, oids),
    ownNameTaken: await isOwnNameTaken(client),
    objects: await readObjects(client, input.ignore.eventTriggers),
    extensions: await readExtensions(client),
    members: await readMembers(client),
    hiddenMappings: await readHiddenMappings(client),
    left: await readLeft(client, input.ignore, oids),
    collations: await readUsedCollations(client, oids, unmoved),
    objectNames: await readObjectNames(client, relations, unmoved, [...unreadable, ...rowSecurity]),
    partitionKeys: await readPartitionKeys(client, oids),
    generatedReads: await readGeneratedReads(client, oids),
    nullableColumns: (await readNullableColumns(client)).filter((one) =>
      relations.some(({ schema, name }) => schema === one.schema && name === one.name),
    ),
    textColumns: input.copy.format === 'binary' ? await readTextColumns(client, oids) : [],
    ...(input.guard === undefined ? {} : { guard: await readGuard(client, input.guard) }),
    created: (
      await readCreated(
        client,
        own,
        [...unmoved, ...(await readOwnedSequences(client, rooted))],
        input.tables,
      )
    ).filter((one) => one.catalog === 'function' || !isGiven(one)),
  };
}

/** Our own control tables are fine: the source may have been a target once. */
async function isOwnNameTaken(client: pg.ClientBase): Promise<boolean> {
  const { rowCount } = await client.query(/* sql */ `
    select from pg_catalog.pg_namespace n
     where n.nspname = 'walferry' and not exists (
       select from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'workflow_id'
        where c.relnamespace = n.oid and c.relname = 'migration')`);
  return rowCount === 1;
}

async function readMembers(client: pg.ClientBase): Promise<ExtensionMember[]> {
  await client.query(/* sql */ `begin read only`);
  try {
    const { rows } = await client.query<{ name: string }>(
      /* sql */ `select extname as name from pg_catalog.pg_extension`,
    );
    return await readExtensionMembers(
      client,
      rows.map(({ name }) => name),
    );
  } finally {
    await client.query(/* sql */ `rollback`);
  }
}

type Settings = Pick<
  SourceFacts,
  | 'walLevel'
  | 'outputPluginLibraries'
  | 'synchronousStandbys'
  | 'snapshotSeconds'
  | 'slotsMax'
  | 'sendersMax'
  | 'sendersUsed'
>;

async function readSettings(client: pg.ClientBase): Promise<Settings> {
  const { rows } = await client.query<Settings>(/* sql */ `
    select current_setting('wal_level') as "walLevel",
           -- Not current_setting(), which fails if the role may not see the setting; the view only omits it.
           (select setting from pg_catalog.pg_settings
             where name = 'output_plugin_libraries') as "outputPluginLibraries",
           current_setting('synchronous_standby_names') as "synchronousStandbys",
           (select nullif(setting, '-1')::float8 * 60 from pg_catalog.pg_settings
             where name = 'old_snapshot_threshold') as "snapshotSeconds",
           current_setting('max_replication_slots')::int4 as "slotsMax",
           current_setting('max_wal_senders')::int4 as "sendersMax",
           (select count(*)::int4 from pg_catalog.pg_stat_replication) as "sendersUsed"`);
  const [row] = rows;
  if (!row) throw new Error('a SELECT without FROM returned no row');
  return row;
}

async function readSlots(client: pg.ClientBase): Promise<SlotFacts[]> {
  const { rows } = await client.query<SlotFacts>(/* sql */ `
    select slot_name as name, database, active, temporary,
           coalesce(case when not pg_is_in_recovery() then
             pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) end, 0)::float8 as "retainedBytes"
      from pg_catalog.pg_replication_slots order by slot_name`);
  return rows;
}

/** Patterns that match no table: almost always a typo. */
async function readIdlePatterns(
  client: pg.ClientBase,
  { tables }: MigrationInput,
): Promise<Pick<SourceFacts['idlePatterns'], 'include' | 'exclude'>> {
  const { rows } = await client.query<TableName>(/* sql */ `
    select n.nspname as schema, c.relname as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S') and ${FOREIGN_TO_SYSTEM}`);
  const idle = (pattern: string): boolean => {
    const matcher = compileSelection({ include: [pattern], exclude: [] });
    return !rows.some((table) => matcher.includes(table));
  };
  return { include: tables.include.filter(idle), exclude: tables.exclude.filter(idle) };
}

/** For tables without a usable replica identity: alternatives in the catalog. */
async function readRemedies(
  client: pg.ClientBase,
  relations: readonly Relation[],
): Promise<IdentityRemedy[]> {
  const oids = relations.filter(({ kind, key }) => kind === 'r' && key === null).map((r) => r.oid);
  const { rows } = await client.query<IdentityRemedy>(
    /* sql */ `
    select c.oid::int8::float8 as oid,
           coalesce(bool_or(i.indisprimary and i.indimmediate), false) as "hasPrimaryKey",
           coalesce(bool_or(i.indisprimary and not i.indimmediate), false) as "deferrablePrimaryKey",
           min(quote_ident(x.relname)) filter (where i.indimmediate and not i.indisprimary
             and i.indpred is null and i.indexprs is null and not exists (
               select from unnest(i.indkey::int2[]) with ordinality k (attnum, at)
                 join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                where k.at <= i.indnkeyatts and not a.attnotnull)) as index
      from unnest($1::oid[]) as c (oid)
      left join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisunique and i.indisvalid
      left join pg_catalog.pg_class x on x.oid = i.indexrelid
     group by c.oid`,
    [oids],
  );
  return rows;
}

async function readUnreadable(
  client: pg.ClientBase,
  selected: readonly number[],
): Promise<TableRight[]> {
  const { rows } = await client.query<TableRight>(
    /* sql */ `
    select n.nspname as schema, c.relname as name, c.oid = any($1::oid[]) as selected
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and c.relpersistence <> 't' and ${FOREIGN_TO_SYSTEM}
       and not (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))
       -- pg_dump does not lock an extension's member tables.
       and not exists (select from pg_catalog.pg_depend d
                        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
                          and d.objsubid = 0 and d.deptype = 'e')
     order by 1, 2`,
    [selected],
  );
  return rows;
}

async function readRowSecurity(
  client: pg.ClientBase,
  selected: readonly number[],
): Promise<TableName[]> {
  const { rows } = await client.query<TableName>(
    /* sql */ `
    select n.nspname as schema, c.relname as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     -- Not row_security_active(): it depends on row_security, which our sessions turn off.
     where c.oid = any($1::oid[]) and c.relrowsecurity
       and not (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user)
       and (c.relforcerowsecurity or not pg_has_role(c.relowner, 'usage'))
     order by 1, 2`,
    [selected],
  );
  return rows;
}

async function readUnreadableSequences(client: pg.ClientBase): Promise<TableName[]> {
  const { rows } = await client.query<TableName>(/* sql */ `
    select n.nspname as schema, c.relname as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'S' and c.relpersistence <> 't' and ${FOREIGN_TO_SYSTEM}
       and not (has_schema_privilege(n.oid, 'usage') and has_sequence_privilege(c.oid, 'select'))
     order by 1, 2`);
  return rows;
}

/**
 * Roles that the moved schema refers to. Unselected tables do not count, nor do extension members, which the target's extension
 * creates. A schema's owner is needed only if the target lacks the schema.
 * @param unmoved views and sequences that are not moved.
 * @param ignored extensions of the input's `ignore`.
 */
async function readRoles(
  client: pg.ClientBase,
  selected: readonly number[],
  unmoved: readonly number[],
  ignored: readonly string[],
): Promise<NamedRoles> {
  const { rows } = await client.query<{
    kind: 'owner' | 'schema' | 'grantee' | 'policy';
    name: string;
    schema: string;
  }>(
    /* sql */ `
    with object (class, oid, schema, owner, acl) as (
      select 'pg_class'::regclass::oid, c.oid, c.relnamespace, c.relowner, c.relacl
        from pg_catalog.pg_class c
       where c.relkind in ('v', 'm', 'S') and c.relpersistence <> 't' and c.oid not in (select unnest($2::oid[]))
          or c.oid = any($1::oid[])
      union all
      select 'pg_class'::regclass::oid, a.attrelid, c.relnamespace, null, a.attacl
        from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
       where a.attacl is not null and (c.relkind in ('v', 'm') and c.oid not in (select unnest($2::oid[])) or c.oid = any($1::oid[]))
      union all
      select 'pg_namespace'::regclass::oid, n.oid, n.oid, n.nspowner, n.nspacl
        from pg_catalog.pg_namespace n
      union all
      select 'pg_proc'::regclass::oid, p.oid, p.pronamespace, p.proowner, p.proacl
        from pg_catalog.pg_proc p
      union all
      select 'pg_type'::regclass::oid, t.oid, t.typnamespace, t.typowner, t.typacl
        from pg_catalog.pg_type t
        -- A table's row type and an array follow their table or element.
       where t.typtype in ('d', 'e', 'r') or t.typtype = 'c' and exists (
         select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind = 'c')
    ), moved (owner, acl, schema) as (
      select o.owner, o.acl, case o.class when 'pg_namespace'::regclass then n.nspname else '' end
        from object o join pg_catalog.pg_namespace n on n.oid = o.schema
       where ${FOREIGN_TO_SYSTEM}
         and not exists (select from pg_catalog.pg_depend d
                          where d.classid = o.class and d.objid = o.oid and d.objsubid = 0 and d.deptype = 'e')
      union all
      select null, d.defaclacl, '' from pg_catalog.pg_default_acl d
    ), changed (kind, owner, acl, initial) as (
      select o.kind, o.owner, o.acl, i.initprivs
        from (select 'pg_proc'::regclass::oid, oid, 0, pronamespace, 'f'::"char", proowner, proacl from pg_catalog.pg_proc
              union all
              select 'pg_class'::regclass, oid, 0, relnamespace, case relkind when 'S' then 's'::"char" else 'r' end, relowner, relacl
                from pg_catalog.pg_class
              union all
              select 'pg_class'::regclass, attrelid, attnum, relnamespace, 'c', relowner, attacl
                from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
              union all
              select 'pg_type'::regclass, oid, 0, typnamespace, 'T', typowner, typacl from pg_catalog.pg_type
             ) as o (class, oid, sub, schema, kind, owner, acl)
        left join pg_catalog.pg_init_privs i on i.classoid = o.class and i.objoid = o.oid and i.objsubid = o.sub
       where o.acl is not null
         and (o.schema in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
              or exists (select from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
                          where d.classid = o.class and d.objid = o.oid and d.objsubid = 0 and d.deptype = 'e'
                            and d.refclassid = 'pg_extension'::regclass and e.extname <> all($3::text[])))
    ), named (kind, oid, schema) as (
      select case schema when '' then 'owner' else 'schema' end, owner, schema from moved
      union select 'grantee', x.grantee, '' from moved cross join lateral aclexplode(moved.acl) x
             -- pg_dump does not write the privileges that an owner has by default.
             where moved.schema = '' or x.grantee <> moved.owner
                or not (acldefault('n', moved.owner))[1] = any (moved.acl)
      union select 'grantee', d.defaclrole, '' from pg_catalog.pg_default_acl d
      -- pg_dump writes grants on extension members and system objects that changed since their creation.
      union select 'grantee', x.grantee, '' from changed cross join lateral (
               select grantee, privilege_type from aclexplode(changed.acl)
               except select grantee, privilege_type from aclexplode(changed.initial)
               except select grantee, privilege_type from aclexplode(acldefault(changed.kind, changed.owner))) x
      union select 'policy', m.umuser, '' from pg_catalog.pg_user_mappings m
      union select 'policy', r.oid, '' from pg_catalog.pg_policy p, unnest(p.polroles) as r (oid)
             where p.polrelid = any($1::oid[])
    )
    select named.kind, r.rolname as name, named.schema
      from named join pg_catalog.pg_roles r on r.oid = named.oid order by 1, 2, 3`,
    [selected, unmoved, ignored],
  );
  const of = (kind: string) => rows.filter((row) => row.kind === kind).map(({ name }) => name);
  return {
    owners: of('owner'),
    schemas: rows.flatMap(({ kind, name, schema }) =>
      kind === 'schema' ? [{ schema, owner: name }] : [],
    ),
    grantees: of('grantee'),
    policies: of('policy'),
  };
}
