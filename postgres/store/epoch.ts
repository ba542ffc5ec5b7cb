/**
 * Fencing of the stream. The migration's control row has an epoch: every attempt takes the next one, and every apply transaction
 * first locks the row `where epoch = mine`. Two attempts can overlap (nothing prevents a frozen worker from continuing), but only
 * the newest can write. The row also contains the confirmed LSN, so reading it and fencing all others is one step.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Checkpoint } from '../../contract/work.ts';
import { endBackends } from '../connection/backends.ts';
import { sqlstate, SQLSTATE } from '../connection/failure.ts';
import { inTransaction } from '../connection/in-transaction.ts';

/** What an attempt starts from. */
export interface Attempt extends Checkpoint {
  readonly epoch: bigint;
  readonly consistent: boolean;
}

/** For one try to lock the row; the previous attempt's backend is terminated before each. */
const LOCK_TIMEOUT_MS = 1_000;
/** The epoch must survive a crash of the target: an attempt that relies on it may already have started. */
const BEGIN_TAKE = /* sql */ `begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}; set local synchronous_commit = on`;
/** A terminated backend rolls back first. Rollback is fast even for huge transactions, so a longer wait has another cause. */
const TAKE_DEADLINE_MS = 15_000;

/**
 * Takes the next epoch and records this session as the attempt's backend: call it on the session that will apply. Terminates the
 * previous attempt's backend (by pid and start time, so a reused pid is never hit), because that one may lock the row in an open
 * transaction of a frozen process.
 * @param floor LSN that was confirmed earlier, as the workflow knows it: a target below it was restored.
 * @param scheduledAt when this attempt was scheduled, milliseconds on the scheduler's clock; null if it was not scheduled. A
 *   frozen machine may start an attempt long after a later one took over: the earlier one is refused.
 * @throws MigrationError `CheckpointMissing` if the row is gone or below the floor, `Fenced` if an attempt that was scheduled
 *   later has the epoch, `Contention` if the row stayed locked.
 */
export async function takeEpoch(
  client: pg.ClientBase,
  migration: Migration,
  floor: Lsn | null = null,
  scheduledAt: number | null = null,
): Promise<Attempt> {
  const deadline = performance.now() + TAKE_DEADLINE_MS;
  for (;;) {
    await refuseOvertaken(client, migration, scheduledAt);
    await onControl(migration, () =>
      endBackends(client, { pids: ATTEMPT_BACKEND, values: [migration.id] }),
    );
    const row = await tryTake(client, migration, scheduledAt);
    // No row: gone, or taken by a later attempt since the check.
    if (row === undefined) await refuseOvertaken(client, migration, scheduledAt);
    if (row !== 'locked') return attemptOf(row, migration, floor);
    if (performance.now() > deadline) {
      throw new MigrationError(
        'Contention',
        `the migration's row in walferry.migration on "${migration.target}" stayed locked for ${TAKE_DEADLINE_MS / 1000} s`,
        { object: 'walferry.migration' },
      );
    }
  }
}

/**
 * Takes the next epoch for a stream that is still open, on the session that applies. Succeeds only from the stream's own epoch
 * and position: if another attempt started in between or the row was restored, the received changes no longer match the target.
 * @param from epoch and position at the end of the stream's last lease.
 * @param scheduledAt as for {@link takeEpoch}.
 * @returns null if the row changed or is locked; the epoch is unchanged then.
 */
export async function continueEpoch(
  client: pg.ClientBase,
  migration: Migration,
  from: Pick<Attempt, 'epoch' | 'confirmedLsn'>,
  scheduledAt: number | null,
): Promise<Attempt | null> {
  const row = await tryTake(client, migration, scheduledAt, from);
  return row === undefined || row === 'locked' ? null : attemptOf(row, migration, null);
}

/**
 * Makes every attempt that was scheduled earlier overtaken, and leaves the epoch alone: an open stream goes on.
 * @throws MigrationError as {@link takeEpoch}.
 */
export async function overtakeEarlier(
  client: pg.ClientBase,
  migration: Migration,
  scheduledAt: number,
): Promise<void> {
  await refuseOvertaken(client, migration, scheduledAt);
  const mark = () =>
    controlQuery(
      client,
      migration,
      /* sql */ `
      update walferry.migration set attempt_scheduled = $2
       where id = $1 and coalesce(attempt_scheduled < $2, true)`,
      scheduledAt,
    );
  try {
    await inTransaction(client, mark, BEGIN_TAKE);
  } catch (error) {
    if (sqlstate(error) !== SQLSTATE.lockNotAvailable) throw error;
    // A frozen attempt has locked the row: its backend has to be ended.
    await takeEpoch(client, migration, null, scheduledAt);
  }
}

/** `for update` instead of a no-op update: the same lock and recheck, without a dead row version. */
const HOLD_EPOCH = /* sql */ `select id from walferry.migration where id = $1 and epoch = $2 for update`;

/**
 * The same for pipelined statements; parameters: the migration's id and the epoch. Fails with {@link NOT_ADVANCED} if the epoch
 * is over, so that no statement sent after it runs alongside the newer attempt.
 */
export const HOLD_EPOCH_OR_FAIL = /* sql */ `
  with held as (${HOLD_EPOCH})
  select 1 / pg_catalog.count(*) from held`;

/**
 * First statement of an apply transaction: locks the row if this attempt is still the newest.
 * @throws MigrationError `Fenced`.
 */
export async function holdEpoch(
  client: pg.ClientBase,
  migration: Migration,
  epoch: bigint,
): Promise<void> {
  const { rows } = await client.query(HOLD_EPOCH, [migration.id, epoch.toString()]);
  if (rows.length === 0) throw fenced(epoch);
}

export function fenced(epoch: bigint): MigrationError {
  return new MigrationError(
    'Fenced',
    `epoch ${epoch} is over: a newer attempt took over the migration`,
  );
}

/**
 * Takes the epoch for a copy, in the caller's transaction: an attempt that still streams must not write into tables that are emptied
 * there. The target is not consistent again until the stream has applied everything up to the new snapshot.
 */
export async function raiseEpoch(target: pg.ClientBase, { id }: Migration): Promise<bigint> {
  const { rows } = await target.query<{ epoch: string }>(
    /* sql */ `
    update walferry.migration set epoch = epoch + 1, consistent = false
     where id = $1 returning epoch::text`,
    [id],
  );
  return BigInt(rows[0]?.epoch ?? 0);
}

/**
 * Refuses a superseded attempt before it terminates a session of the newer one, or stops writes that no one would give back. The row
 * may still change after this check; {@link takeEpoch} decides in the update itself.
 * @throws MigrationError `Fenced`, `CheckpointMissing`.
 */
export async function refuseOvertaken(
  client: pg.ClientBase,
  migration: Migration,
  scheduledAt: number | null,
): Promise<void> {
  const [row] = await controlQuery<{ newest: string | null }>(
    client,
    migration,
    /* sql */ `select attempt_scheduled::text as newest from walferry.migration where id = $1`,
  );
  if (scheduledAt === null || row?.newest == null) return;
  const later = Number(row.newest) - scheduledAt;
  if (later > 0) throw superseded(later);
}

/** Times are the scheduler's: after its clock was set back, every attempt is refused like this until the clock has caught up. */
function superseded(laterMs: number): MigrationError {
  return new MigrationError(
    'Fenced',
    `a later attempt, scheduled ${Math.ceil(laterMs / 1000)} s after this one, has taken over the migration. If no other attempt runs, the Temporal server's clock was set back: to continue before it has caught up, run on the target: update walferry.migration set attempt_scheduled = null`,
  );
}

/**
 * The backend that has the epoch. Recorded and not found as the earlier attempts of a step are (session.ts): the attempt that was
 * scheduled later has the epoch, whichever session started first.
 */
const ATTEMPT_BACKEND = /* sql */ `
  select a.pid from walferry.migration m
    join pg_catalog.pg_stat_activity a on a.pid = m.attempt_pid and a.backend_start = m.attempt_started
   where m.id = $1`;

interface AttemptRow {
  readonly epoch: string;
  readonly confirmed: string | null;
  readonly transactions: string;
  readonly changes: string;
  readonly consistent: boolean;
}

async function tryTake(
  client: pg.ClientBase,
  migration: Migration,
  scheduledAt: number | null,
  from: Pick<Attempt, 'epoch' | 'confirmedLsn'> | null = null,
): Promise<AttemptRow | undefined | 'locked'> {
  try {
    const take = () =>
      controlQuery<AttemptRow>(
        client,
        migration,
        /* sql */ `
        update walferry.migration
           set epoch = epoch + 1, attempt_pid = pg_backend_pid(),
               attempt_scheduled = greatest(attempt_scheduled, $2::bigint),
               attempt_started = (select backend_start from pg_stat_activity
                                   where pid = pg_backend_pid())
         where id = $1 and ($2::bigint is null or coalesce(attempt_scheduled <= $2, true))
           and ($3::bigint is null or epoch = $3 and confirmed_lsn = $4 and attempt_pid = pg_backend_pid())
        returning epoch::text, coalesce(confirmed_lsn, consistent_lsn)::text as confirmed,
                  transactions::text, changes::text, consistent`,
        scheduledAt,
        from?.epoch.toString() ?? null,
        from?.confirmedLsn ?? null,
      );
    return (await inTransaction(client, take, BEGIN_TAKE))[0];
  } catch (error) {
    if (sqlstate(error) === SQLSTATE.lockNotAvailable) return 'locked';
    throw error;
  }
}

async function controlQuery<R extends pg.QueryResultRow>(
  client: pg.ClientBase,
  migration: Migration,
  sql: string,
  ...more: readonly (number | string | null)[]
): Promise<R[]> {
  const { rows } = await onControl(migration, () => client.query<R>(sql, [migration.id, ...more]));
  return rows;
}

/** @throws MigrationError `CheckpointMissing` if the control schema is gone. */
async function onControl<T>(migration: Migration, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    const state = sqlstate(error);
    if (state === SQLSTATE.undefinedTable || state === SQLSTATE.invalidSchemaName) {
      throw missing(migration);
    }
    throw error;
  }
}

function attemptOf(row: AttemptRow | undefined, migration: Migration, floor: Lsn | null): Attempt {
  if (!row || row.confirmed === null) throw missing(migration);
  const confirmedLsn = parseLsn(row.confirmed);
  if (floor !== null && compareLsn(confirmedLsn, floor) < 0) {
    throw new MigrationError(
      'CheckpointMissing',
      `the target "${migration.target}" is at ${confirmedLsn}, but ${floor} was confirmed earlier: it was restored or replaced`,
      { lsn: confirmedLsn },
    );
  }
  return {
    epoch: BigInt(row.epoch),
    confirmedLsn,
    transactions: Number(row.transactions),
    changes: Number(row.changes),
    consistent: row.consistent,
  };
}

function missing(migration: Migration): MigrationError {
  return new MigrationError(
    'CheckpointMissing',
    `the target "${migration.target}" has no checkpoint of this migration: schema walferry is missing, replaced or incomplete`,
    { object: 'walferry.migration' },
  );
}
