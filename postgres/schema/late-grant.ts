/**
 * Grants that take privileges from our role which it needs until the cutover, on a target where it is no superuser: an
 * append-only table whose owner has no UPDATE, a schema in which its owner may not create. They run at their place in the
 * archive, so that other roles get their privileges. If they take such a privilege away, the owner gets all privileges back,
 * until they run again after the cutover.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { SQLSTATE } from '../connection/failure.ts';
import { inSavepoint } from '../connection/in-transaction.ts';
import { nameOther } from '../archive/existing-object.ts';
import type { OwnerRights } from '../archive/owner.ts';
import { runEntry } from './run-entry.ts';
import { switchObjects } from './switch-objects.ts';
import type { StoredEntry } from '../store/schema-entry.ts';
import { deferGrant, type LateGrant, readWaitingGrants } from '../store/grant-entry.ts';
import { markEntriesDone } from '../store/entry-mark.ts';
import { runOther } from './run-other.ts';

/** Needed privileges: rows are copied, compared and changed; sequences are set; indexes are created in the schema. */
const LACKS = /* sql */ `
select case $1
  when 'TABLE' then exists (
    select from pg_catalog.pg_class c, unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as w (privilege)
     where c.oid = to_regclass(format('%I.%I', $2::text, $3::text)) and c.relkind in ('r', 'p')
       and not has_table_privilege(c.oid, w.privilege))
  when 'SEQUENCE' then exists (
    select from pg_catalog.pg_class c, unnest(array['select', 'update']) as w (privilege)
     where c.oid = to_regclass(format('%I.%I', $2::text, $3::text)) and c.relkind = 'S'
       and not has_sequence_privilege(c.oid, w.privilege))
  when 'SCHEMA' then exists (
    select from pg_catalog.pg_namespace n, unnest(array['usage', 'create']) as w (privilege)
     where n.nspname = $3 and not has_schema_privilege(n.oid, w.privilege))
  else false end as lacks`;

const OBJECT = /^(TABLE|SEQUENCE|SCHEMA) (.*)$/s;

type Acl = Pick<StoredEntry, 'id' | 'kind' | 'schema' | 'name' | 'sql' | 'depends'>;

/**
 * Runs grants within the open transaction, and records those that have to run again after the cutover.
 * @param late numbers of those; the entry's number is added if it is one. Grants on columns are late if those on their table
 *   are: the table's REVOKE includes the columns.
 */
export async function grantEarly(
  target: pg.ClientBase,
  migration: Migration,
  entry: Acl,
  { rights, late }: { readonly rights: OwnerRights; readonly late: Set<number> },
): Promise<void> {
  await runEntry(target, entry, rights);
  if (await lacks(target, entry)) await grantToOwner(target, entry);
  else if (!entry.depends.some((id) => late.has(id))) return;
  late.add(entry.id);
  await deferGrant(target, migration, entry.id);
}

/**
 * The same for grants on objects that walferry did not create, such as a schema that the target had before. If even the owner's
 * privileges do not help our role (a member that does not inherit them), the whole entry waits for the cutover.
 * @returns whether it runs again after the cutover.
 */
export async function grantOnPresent(
  target: pg.ClientBase,
  migration: Migration,
  entry: Acl,
): Promise<boolean> {
  // Privileges that our role lacked before are not needed.
  const lacked = await lacks(target, entry);
  await target.query('savepoint granting');
  await runOther(target, migration.id, entry);
  const late = !lacked && (await lacks(target, entry));
  if (late) {
    await grantToOwner(target, entry);
    if (await lacks(target, entry)) await target.query('rollback to savepoint granting');
    await deferGrant(target, migration, entry.id);
  }
  await target.query('release savepoint granting');
  return late;
}

/** Whether our role lacks a privilege that it needs until the cutover. */
async function lacks(target: pg.ClientBase, entry: Acl): Promise<boolean> {
  const [, type, name] = OBJECT.exec(entry.name) ?? [];
  if (type === undefined) return false;
  const { rows } = await target.query<{ lacks: boolean }>(LACKS, [type, entry.schema, name]);
  return rows[0]?.lacks === true;
}

/** Grants all privileges on the object to its owner, who may always do that. */
async function grantToOwner(
  target: pg.ClientBase,
  { schema, name }: { readonly schema: string | null; readonly name: string },
): Promise<void> {
  const [, type, object] = OBJECT.exec(name) ?? [];
  if (type === undefined) return;
  const { rows } = await target.query<{ sql: string | null }>(
    /* sql */ `
    select format('grant all on schema %I to %I', n.nspname, pg_catalog.pg_get_userbyid(n.nspowner)) as sql
      from pg_catalog.pg_namespace n where $1 = 'SCHEMA' and n.nspname = $3
    union all
    select format('grant all on %s %I.%I to %I', lower($1), $2::text, $3::text, pg_catalog.pg_get_userbyid(c.relowner))
      from pg_catalog.pg_class c where $1 <> 'SCHEMA' and c.oid = to_regclass(format('%I.%I', $2::text, $3::text))`,
    [type, schema, object],
  );
  for (const { sql } of rows) if (sql !== null) await target.query(sql);
}

const nameGrant = (one: LateGrant): string => nameOther({ ...one, kind: 'ACL' });

/**
 * Runs them again, after the source's slot is dropped. Until then our role reads sequences and tables for the final checks, and
 * the stream of an undone cutover continues. Skips grants whose object is gone or renamed. Idempotent.
 * @throws MigrationError `SchemaFailed` with the object, `Unreachable`.
 */
export async function runLateGrants(migration: Migration): Promise<void> {
  await switchObjects(migration, {}, { done: 'enabled', nothing: undefined }, async (session) => {
    const { target, all } = session;
    await all(await readWaitingGrants(target, migration), nameGrant, async ({ id, sql }) => {
      await inSavepoint(target, () => target.query(sql), isGone);
      await markEntriesDone(target, migration.id, [id]);
    });
  });
}

/** The object of the grant is gone. */
function isGone(state: string): boolean {
  if (state === SQLSTATE.insufficientPrivilege) return false;
  return state.startsWith('42') || state === SQLSTATE.invalidSchemaName;
}
