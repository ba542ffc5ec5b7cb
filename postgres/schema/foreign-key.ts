/**
 * Foreign keys in two steps: added NOT VALID, which holds locks only briefly, then validated without blocking writers.
 * The SQL is pg_dump's own; NOT VALID can only be appended at its end.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { matchExisting } from './equal-index.ts';
import { underAnyPath } from '../session/planning.ts';
import { claimEntry, markKeyAdded } from '../store/entry-mark.ts';
import { type StoredEntry, nameEntry } from '../store/schema-entry.ts';

/**
 * The statement with NOT VALID, or null where that is impossible or not wanted: before version 18 not for partitioned tables
 * (pg_dump writes those without ONLY), and not for a key that is not validated on the source either. Pure.
 */
export function deferred(sql: string): string | null {
  if (!sql.startsWith('ALTER TABLE ONLY ') || !/ADD CONSTRAINT .* FOREIGN KEY /s.test(sql))
    return null;
  if (!sql.endsWith(';') || / NOT (VALID|ENFORCED);$/.test(sql)) return null;
  return `${sql.slice(0, -1)} NOT VALID;`;
}

/** Adds the key in the caller's transaction, and records its oid when it still has to be validated. */
export async function addForeignKey(
  target: pg.ClientBase,
  migration: Migration,
  entry: StoredEntry,
): Promise<void> {
  if (!(await claimEntry(target, migration.id, entry.id))) return;
  if ((await matchExisting(target, entry)) !== null) return;
  const unchecked = deferred(entry.sql);
  if (unchecked === null) {
    await check(target, entry.sql);
    return;
  }
  if (entry.added !== null && (await findKey(target, entry.added)) !== null) {
    await markKeyAdded(target, migration.id, entry.id, entry.added);
    return;
  }
  await target.query(unchecked);
  // Found as the row that this transaction created, so that no name has to be parsed.
  const { rows } = await target.query<{ oid: string; parts: boolean }>(/* sql */ `
    select k.oid::text, exists (select from pg_catalog.pg_constraint p where p.conparentid = k.oid) as parts
      from pg_catalog.pg_constraint k
     where k.contype = 'f' and k.conparentid = 0 and k.xmin = pg_catalog.pg_current_xact_id()::xid`);
  const [added] = rows;
  if (added?.parts === true) {
    // It references a partitioned table and has a part per partition. VALIDATE would mark only the key: the parts would stay
    // NOT VALID forever (docs/explanation/facts.md). So this key is checked while its locks are held.
    await dropForeignKey(target, { ...entry, added: added.oid });
    await check(target, entry.sql);
    return;
  }
  await markKeyAdded(target, migration.id, entry.id, added?.oid ?? null);
}

/** Validates a key that was added, and marks its entry done. */
export async function validateForeignKey(
  target: pg.ClientBase,
  migration: Migration,
  entry: StoredEntry,
): Promise<void> {
  if (!(await claimEntry(target, migration.id, entry.id))) return;
  const key = entry.added === null ? null : await findKey(target, entry.added);
  if (key === null) {
    throw new MigrationError(
      'Contention',
      `${nameEntry(entry)} was dropped between adding and validating it; it is added again`,
    );
  }
  await check(
    target,
    /* sql */ `alter table ${key.table} validate constraint ${pg.escapeIdentifier(key.name)}`,
  );
}

/** Drops a key that was added and that rows break. */
export async function dropForeignKey(target: pg.ClientBase, { added }: StoredEntry): Promise<void> {
  const key = added === null ? null : await findKey(target, added);
  if (key === null) return;
  await target.query(
    /* sql */ `alter table ${key.table} drop constraint ${pg.escapeIdentifier(key.name)}`,
  );
}

/** The server reads both tables with its own query, whose planning calls the functions of their indexes. */
async function check(target: pg.ClientBase, statement: string): Promise<void> {
  await underAnyPath(target, () => target.query(statement));
}

async function findKey(
  target: pg.ClientBase,
  oid: string,
): Promise<{ table: string; name: string } | null> {
  const { rows } = await target.query<{ table: string; name: string }>(
    /* sql */ `
    select format('%I.%I', n.nspname, c.relname) as table, k.conname as name
      from pg_catalog.pg_constraint k
      join pg_catalog.pg_class c on c.oid = k.conrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where k.oid = $1::oid and k.contype = 'f'`,
    [oid],
  );
  return rows[0] ?? null;
}
