/**
 * The migration's own row in the control schema: registered once with the schema's copy, read by every step that has to know
 * where the migration stands, dropped when it ends. The stream's columns of the same row belong to epoch.ts.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { classify } from '../connection/failure.ts';
import { readIdentity, type Identity } from '../identity/identity.ts';
import { registerSide } from './side.ts';

export interface Registration {
  readonly migration: Migration;
  /** Another server under the same service name is recognised by it. */
  readonly source: Identity;
  readonly sourceDatabase: string;
  /** Whether walferry made the tables; null while that is not known yet. */
  readonly tablesCreated: boolean | null;
  /** Schema-only pg_dump archive; null leaves what is stored. */
  readonly archive: Buffer | null;
}

export interface MigrationState {
  readonly id: string;
  readonly workflowId: string;
  readonly slot: string;
  readonly sourceSystem: string;
  readonly sourceDatabase: string;
  readonly tablesCreated: boolean | null;
  /** Null until the slot was made. */
  readonly consistentLsn: Lsn | null;
  /** Transaction id below which everything must have ended before a snapshot is taken. */
  readonly barrier: bigint | null;
  /** 0 until a stream began. */
  readonly epoch: bigint;
  readonly confirmedLsn: Lsn | null;
  readonly transactions: number;
  readonly changes: number;
  readonly consistent: boolean;
}

interface StateRow {
  id: string;
  workflow_id: string;
  slot: string;
  source_system: string;
  source_database: string;
  tables_created: boolean | null;
  consistent_lsn: string | null;
  barrier: string | null;
  epoch: string;
  confirmed: string | null;
  transactions: string;
  changes: string;
  consistent: boolean;
}

/** A zombie's open transaction must not hold up the end of a migration for ever. */
const DROP_LOCK_TIMEOUT_MS = 10_000;

/**
 * Writes the migration's row into an existing control schema; a second call fills in what was not known the first time.
 * Run it in the transaction that creates the control schema.
 * @throws MigrationError `SchemaFailed` when the target belongs to another migration.
 */
export async function registerMigration(
  target: pg.ClientBase,
  registration: Registration,
): Promise<void> {
  const { migration } = registration;
  const others = await target.query<{ workflow_id: string }>(
    /* sql */ `select workflow_id from walferry.migration where id <> $1`,
    [migration.id],
  );
  const other = others.rows[0];
  if (other) {
    throw new MigrationError(
      'SchemaFailed',
      `the target "${migration.target}" holds the control schema of another migration (workflow "${other.workflow_id}"); remove it with: npm run cleanup -- ${migration.source} ${migration.target} --workflow-id ${other.workflow_id}`,
      { object: 'walferry.migration' },
    );
  }
  await target.query(
    /* sql */ `
    insert into walferry.migration as m
      (id, workflow_id, slot, source_system, source_database, tables_created, archive)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (id) do update
       set tables_created = coalesce(m.tables_created, excluded.tables_created),
           archive = coalesce(m.archive, excluded.archive)`,
    [
      migration.id,
      migration.workflowId,
      migration.slot,
      registration.source.system,
      registration.sourceDatabase,
      registration.tablesCreated,
      registration.archive,
    ],
  );
  // Made here: later it would wait for a batch that holds the row it refers to.
  await target.query(
    /* sql */ `insert into walferry.throttle (migration) values ($1) on conflict do nothing`,
    [migration.id],
  );
  await registerSide(target, migration, 'source', registration.source);
  await registerSide(target, migration, 'target', await readIdentity(target, migration.target));
}

/** Where the migration stands; null when the target knows nothing of it (or has no control schema). */
export async function readMigration(
  target: pg.ClientBase,
  id: string,
): Promise<MigrationState | null> {
  if (!(await hasControl(target))) return null;
  const { rows } = await target.query<StateRow>(
    /* sql */ `
    select id, workflow_id, slot, source_system, source_database, tables_created,
           consistent_lsn::text, barrier::text, epoch::text, confirmed_lsn::text as confirmed,
           transactions::text, changes::text, consistent
      from walferry.migration where id = $1`,
    [id],
  );
  const row = rows[0];
  return row ? stateOf(row) : null;
}

/**
 * {@link readMigration} for steps that cannot go on without.
 * @throws MigrationError `CheckpointMissing`.
 */
export async function requireMigration(
  target: pg.ClientBase,
  migration: Migration,
): Promise<MigrationState> {
  const state = await readMigration(target, migration.id);
  if (state) return state;
  throw new MigrationError(
    'CheckpointMissing',
    `the target "${migration.target}" knows nothing of this migration (schema walferry is gone or replaced)`,
    { object: 'walferry.migration' },
  );
}

/**
 * Removes what a migration keeps on the target: the whole control schema when no other migration's row is in it. Idempotent,
 * one unit inside and outside a transaction.
 * @throws MigrationError `Contention` when an open transaction still holds it.
 */
export async function dropControl(target: pg.ClientBase, migration: Migration): Promise<void> {
  if (!(await hasControl(target))) return;
  try {
    // Several statements in one message are one transaction of their own, or part of the caller's.
    await target.query(/* sql */ `
      set local lock_timeout = ${DROP_LOCK_TIMEOUT_MS};
      delete from walferry.migration where id = ${pg.escapeLiteral(migration.id)};
      do $$
      begin
        if not exists (select from walferry.migration) then
          drop schema walferry cascade;
        end if;
      end
      $$`);
  } catch (error) {
    throw classify(error, { step: 'removing the control schema', side: 'target' }, 'Internal');
  }
}

async function hasControl(target: pg.ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ there: boolean }>(
    /* sql */ `select to_regclass('walferry.migration') is not null as there`,
  );
  return rows[0]?.there ?? false;
}

function stateOf(row: StateRow): MigrationState {
  return {
    id: row.id,
    workflowId: row.workflow_id,
    slot: row.slot,
    sourceSystem: row.source_system,
    sourceDatabase: row.source_database,
    tablesCreated: row.tables_created,
    consistentLsn: row.consistent_lsn === null ? null : parseLsn(row.consistent_lsn),
    barrier: row.barrier === null ? null : BigInt(row.barrier),
    epoch: BigInt(row.epoch),
    confirmedLsn: row.confirmed === null ? null : parseLsn(row.confirmed),
    transactions: Number(row.transactions),
    changes: Number(row.changes),
    consistent: row.consistent,
  };
}
