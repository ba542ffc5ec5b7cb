/**
 * The migration's row in the control schema: created with the schema copy, read by every step that needs the migration's state,
 * dropped at the end. epoch.ts maintains the stream's columns of the row.
 */
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { cleanupCommand } from '../../contract/shell-command.ts';
import { classify } from '../connection/failure.ts';
import { readIdentity, type Identity } from '../identity/identity.ts';
import { registerSide } from './side.ts';
import { hasStore } from './upgrade.ts';

export interface Registration {
  readonly migration: Migration;
  /** Detects another server under the same service name. */
  readonly source: Identity;
  readonly sourceDatabase: string;
  /** Whether walferry created the tables; null while unknown. */
  readonly tablesCreated: boolean | null;
  /** Schema-only pg_dump archive; null keeps the stored one. */
  readonly archive: Buffer | null;
}

export interface MigrationState {
  readonly id: string;
  readonly workflowId: string;
  readonly slot: string;
  readonly sourceSystem: string;
  readonly sourceDatabase: string;
  readonly tablesCreated: boolean | null;
  /** Null until the slot is created. */
  readonly consistentLsn: Lsn | null;
  /** Xid barrier: all transactions below it must have ended before a snapshot is exported. */
  readonly barrier: bigint | null;
  /** 0 until the first stream attempt. */
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

/** Condition on a row: it is a way back (way-back.ts), whose migration has another target. The id ends as contract/reversed.ts says. */
export const OF_WAY_BACK = /* sql */ `id like '%-back'`;

/** The open transaction of a superseded attempt must not block the end of a migration forever. */
const DROP_LOCK_TIMEOUT_MS = 10_000;

/**
 * Writes the migration's row into an existing control schema; a second call fills in what was unknown at the first one. Call it
 * in the transaction that creates the control schema.
 * @throws MigrationError `SchemaFailed` if the target belongs to another migration.
 */
export async function registerMigration(
  target: pg.ClientBase,
  registration: Registration,
): Promise<void> {
  const { migration } = registration;
  const others = await target.query<{ workflow_id: string }>(
    /* sql */ `select workflow_id from walferry.migration where id <> $1 and not ${OF_WAY_BACK}`,
    [migration.id],
  );
  const other = others.rows[0];
  if (other) {
    throw new MigrationError(
      'SchemaFailed',
      `the target "${migration.target}" has the control schema of another migration (workflow "${other.workflow_id}"): if that migration is over, remove it with ${cleanupCommand(migration, other.workflow_id)}`,
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
  // Created here: a later insert would wait for a batch that locks the row it references.
  await target.query(
    /* sql */ `insert into walferry.throttle (migration) values ($1) on conflict do nothing`,
    [migration.id],
  );
  await registerSide(target, migration, 'source', registration.source);
  await registerSide(target, migration, 'target', await readIdentity(target, migration.target));
}

/** The migration's state; null if the target has no row of it (or no control schema). */
export async function readMigration(
  target: pg.ClientBase,
  id: string,
): Promise<MigrationState | null> {
  if (!(await hasStore(target))) return null;
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
 * {@link readMigration} for steps that cannot continue without a row.
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
    `the target "${migration.target}" has no record of this migration: schema walferry is missing or was replaced`,
    { object: 'walferry.migration' },
  );
}

/** Holds the migration's row until the transaction ends, so that it cannot end meanwhile. @returns false: it has ended. */
export async function holdMigration(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
): Promise<boolean> {
  const { rowCount } = await target.query(
    /* sql */ `select from walferry.migration where id = $1 for key share`,
    [id],
  );
  return rowCount === 1;
}

/**
 * Removes the migration's state from the target, and the whole control schema if it has no other migration's row. Idempotent;
 * atomic inside and outside a transaction.
 * @throws MigrationError `Contention` if an open transaction still locks it.
 */
export async function dropControl(target: pg.ClientBase, migration: Migration): Promise<void> {
  if (!(await hasStore(target))) return;
  try {
    // Several statements in one simple query are one transaction, or part of the caller's.
    await target.query(/* sql */ `
      set local lock_timeout = ${DROP_LOCK_TIMEOUT_MS};
      delete from walferry.migration where id = ${pg.escapeLiteral(migration.id)};
      do $$
      begin
        -- A control schema that an older worker left has no outcomes.
        if to_regclass('walferry.outcome') is not null then
          delete from walferry.outcome where migration = ${pg.escapeLiteral(migration.id)};
        end if;
        if not exists (select from walferry.migration) then
          drop schema walferry cascade;
        end if;
      end
      $$`);
  } catch (error) {
    throw classify(error, { step: 'removing the control schema', side: 'target' }, 'Internal');
  }
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
