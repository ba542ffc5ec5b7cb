/**
 * The version of the control schema. Each target records which versions were applied to it (walferry.version): a table rather than
 * a comment on the schema, because `comment on` and `pg_restore --no-comments` would change what workers read, and because it
 * shows when an upgrade ran. A worker upgrades an older schema and refuses a newer one, whose meaning it cannot know.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { VERSIONS, type Version } from './versions/version-list.ts';

/** The version that this walferry works with. */
export const NEWEST = newestOf(VERSIONS);

/** Another transaction may have read a table that is altered. Then the activity is retried. */
const LOCK_TIMEOUT_MS = 5_000;

/** Two sessions that create or alter the same object at once would fail on each other's rows, even with `if not exists`. */
const ONE_AT_A_TIME = /* sql */ `select pg_advisory_xact_lock(hashtextextended('walferry.version', 0))`;

/** Whether the target has a control schema. */
export async function hasStore(target: pg.ClientBase): Promise<boolean> {
  return (await probe(target)).store;
}

/**
 * Applies the versions that the target lacks, all or none. Does nothing without a control schema. Call it outside of a transaction.
 * @param service of the target, for messages.
 * @throws MigrationError as {@link requireKnownVersion}; an error of the driver when a lock is not granted in time.
 */
export async function upgrade(
  target: pg.ClientBase,
  service: string,
  versions: readonly Version[] = VERSIONS,
): Promise<void> {
  const found = await requireKnownVersion(target, service, versions);
  if (found === null || found === newestOf(versions)) return;
  await inTransaction(
    target,
    () => createStore(target, service, versions),
    /* sql */ `begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}`,
  );
}

/**
 * Creates the control schema, or upgrades it, in the caller's transaction.
 * @throws MigrationError as {@link requireKnownVersion}.
 */
export async function createStore(
  target: pg.ClientBase,
  service: string,
  versions: readonly Version[] = VERSIONS,
): Promise<void> {
  await target.query(ONE_AT_A_TIME);
  // Another worker may have upgraded it while this one waited for the lock.
  const found = (await requireKnownVersion(target, service, versions)) ?? 0;
  for (const { number, sql } of versions.filter((one) => one.number > found)) {
    await target.query(sql);
    await target.query(/* sql */ `insert into walferry.version (number) values ($1)`, [number]);
  }
}

/**
 * The version of the target's control schema; null if there is none.
 * @throws MigrationError `StoreTooNew` if this walferry does not know the version, `StoreTooOld` if the schema has none.
 */
export async function requireKnownVersion(
  target: pg.ClientBase,
  service: string,
  versions: readonly Version[] = VERSIONS,
): Promise<number | null> {
  const { store, numbered } = await probe(target);
  if (!numbered) {
    if (!store) return null;
    throw new MigrationError(
      'StoreTooOld',
      `the control schema on "${service}" has no version: a walferry before 0.1 created it. End that migration, or remove what it left, with the walferry that started it`,
      { object: 'walferry.migration' },
    );
  }
  const { rows } = await target.query<{ version: number }>(
    /* sql */ `select max(number) as version from walferry.version`,
  );
  const version = rows[0]?.version ?? 0;
  const newest = newestOf(versions);
  if (version <= newest) return version;
  throw new MigrationError(
    'StoreTooNew',
    `the control schema on "${service}" has version ${version}; this walferry knows versions up to ${newest}. Use the newer walferry that upgraded it`,
    { object: 'walferry.version' },
  );
}

async function probe(target: pg.ClientBase): Promise<{ store: boolean; numbered: boolean }> {
  const { rows } = await target.query<{ store: boolean; numbered: boolean }>(/* sql */ `
    select pg_catalog.to_regclass('walferry.migration') is not null as store,
           pg_catalog.to_regclass('walferry.version') is not null as numbered`);
  return rows[0] ?? { store: false, numbered: false };
}

function newestOf(versions: readonly Version[]): number {
  return Math.max(...versions.map(({ number }) => number));
}
