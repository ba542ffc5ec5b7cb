/**
 * Empties tables before a copy or resync: removes their rows on the target, their chunks and marks. In the transaction that
 * writes the new chunks.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { TableName } from '../catalog/selection.ts';
import { quoted } from '../catalog/table-name.ts';
import { endBackends } from '../connection/backends.ts';
import { copiersOf } from './claim.ts';
import { deleteChunks, readUndone } from '../store/chunk.ts';
import { holdAt } from './test-hold.ts';
import { hasReplicaRole } from '../session/replica-role.ts';
import { underAnyPath } from '../session/planning.ts';

/** Removes the tables' chunks and marks. @returns the tables with a marked chunk: only they have copied rows. */
export async function forgetChunks(
  target: pg.ClientBase,
  migration: Migration,
  ids: readonly number[],
): Promise<Set<number>> {
  const undone = await readUndone(target, migration, ids);
  await holdAt('before-ending-copiers', target);
  // Copying sessions lock the chunk before the table; the same order here avoids a deadlock.
  await endBackends(target, copiersOf(migration, undone));
  return deleteChunks(target, migration, ids);
}

/**
 * Empties tables with one TRUNCATE, as foreign keys between them require. TRUNCATE is not possible for tables that other tables
 * reference; their rows are deleted with triggers disabled by the replica role.
 */
export async function emptyTables(
  target: pg.ClientBase,
  tables: readonly TableName[],
): Promise<void> {
  if (tables.length === 0) return;
  const names = tables.map(quoted);
  const { rows } = await target.query<{ name: string; partitioned: boolean; referenced: boolean }>(
    /* sql */ `
    with recursive named as (select n as name, n::regclass::oid as oid from unnest($1::text[]) n),
    -- A partitioned table includes its partitions.
    given as (
      select name, oid from named
      union
      select g.name, i.inhrelid from given g join pg_catalog.pg_inherits i on i.inhparent = g.oid
        join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relispartition),
    -- A table that is emptied by DELETE is not in the TRUNCATE, so its foreign keys reference from outside, too.
    deleted (name) as (
      select g.name
        from given g join pg_catalog.pg_constraint k on k.confrelid = g.oid and k.contype = 'f'
       where k.conrelid <> all (select oid from given)
      union
      select p.name
        from deleted d
        join given g on g.name = d.name
        join pg_catalog.pg_constraint k on k.conrelid = g.oid and k.contype = 'f'
        join given p on p.oid = k.confrelid)
    select n.name, c.relkind = 'p' as partitioned, n.name in (select name from deleted) as referenced
      from named n join pg_catalog.pg_class c on c.oid = n.oid`,
    [names],
  );
  const referenced = rows.filter((row) => row.referenced);
  if (referenced.length > 0 && !(await hasReplicaRole(target))) {
    // Enabled foreign keys could cascade into finished tables.
    throw new MigrationError(
      'Denied',
      `foreign keys on the target reference tables that must be emptied (${referenced.map(({ name }) => name).join(', ')}): allow walferry's role to set session_replication_role, or drop these foreign keys until the cutover`,
    );
  }
  const whole = ({ name, partitioned }: { name: string; partitioned: boolean }) =>
    partitioned ? name : `only ${name}`;
  for (const one of referenced) {
    await underAnyPath(target, () => target.query(/* sql */ `delete from ${whole(one)}`));
  }
  const rest = rows.filter((row) => !row.referenced).map(whole);
  if (rest.length > 0) await target.query(/* sql */ `truncate ${rest.join(', ')}`);
}
