/**
 * The snapshot owner: the session whose transaction exports a snapshot after the xid barrier and stays open while tables are
 * copied under it. If it is lost, the next attempt exports the next snapshot; nothing needs to be undone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { GuardInput } from '../../contract/guard.ts';
import { parseLsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { HoldReport, Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { cut } from '../connection/connect.ts';
import { recordSnapshot, type Backend, type OwnedSnapshot } from '../store/exported-snapshot.ts';
import { requireMigration } from '../store/migration.ts';
import { Guard } from '../guard/guard.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { readBlockers, renderBlockers } from '../slot/blockers.ts';
import { writeMark, type Mark } from '../replication/flushed-mark.ts';
import { isAlive } from './owner-liveness.ts';
import { NothingLeft } from './nothing-left.ts';
import { parseSnapshot } from '../catalog/visibility.ts';

const BARRIER_POLL_MS = 500;
const BEAT_EVERY_MS = 1_000;
const WARN_EVERY_MS = 60_000;
/** A session that does not answer a trivial query within this time counts as lost. */
const ANSWER_WITHIN_MS = 30_000;

/**
 * Exports a new snapshot and keeps it until a plan finds nothing left to copy under it, or the signal is aborted; then returns.
 * @param guarding limits that are measured on the source while it is kept: above a ceiling the copy waits.
 * @throws MigrationError `SnapshotLost` when the session ended, `Unreachable`, `CheckpointMissing`.
 */
export async function holdSnapshot(
  migration: Migration,
  work: Work,
  guarding?: GuardInput,
): Promise<HoldReport> {
  let taken: OwnedSnapshot | null = null;
  try {
    const barrier = await readBarrier(migration);
    await using source = await connectSource(migration, 'snapshot', { signal: work.signal });
    try {
      await using target = await connectTarget(migration, 'snapshot');
      const nothingLeft = await NothingLeft.listen(target, migration);
      taken = await take(migration, { source, target }, barrier, work);
      await using guard = Guard.begin(migration, guarding, taken.number, work);
      await hold(taken, source, work, { nothingLeft: nothingLeft.signalFor(taken.number), guard });
      return { nothingLeft: true };
    } finally {
      // Ending the session ends the snapshot, whatever state the connection is in.
      cut(source);
    }
  } catch (error) {
    if (work.signal.aborted) return { nothingLeft: false };
    throw taken === null
      ? classify(error, { step: 'taking a snapshot' }, 'Internal')
      : lost(taken, error);
  }
}

async function readBarrier(migration: Migration): Promise<bigint> {
  await using target = await connectTarget(migration, 'snapshot');
  const { barrier } = await requireMigration(target, migration);
  if (barrier !== null) return barrier;
  throw new MigrationError('CheckpointMissing', 'the slot of this migration was not created yet', {
    slot: migration.slot,
  });
}

async function take(
  migration: Migration,
  { source, target }: Readonly<Record<'source' | 'target', pg.Client>>,
  barrier: bigint,
  work: Work,
): Promise<OwnedSnapshot> {
  const owner = await backendOf(source);
  let snapshot: Omit<OwnedSnapshot, 'number' | 'mark'> | null = null;
  while (snapshot === null) {
    await waitForBarrier(source, barrier, work);
    snapshot = await tryTake(source, barrier, owner);
  }
  const mark = await writeMarkFor(owner, migration, target);
  const number = await recordSnapshot(target, migration, { ...snapshot, mark });
  work.log.warn(
    'a snapshot is held: until the copy ends, vacuum on the source cannot remove rows that became dead after it',
    { pass: number, pid: owner.pid, lsn: snapshot.lsn },
  );
  return { ...snapshot, mark, number };
}

/**
 * Flushes what the snapshot sees: rows of a commit that the source may lose in a crash must not be copied. Uses a separate
 * session, because a mark needs a transaction id, and checks that it flushed the owner's server.
 */
async function writeMarkFor(
  owner: Backend,
  migration: Migration,
  target: pg.ClientBase,
): Promise<Mark> {
  await using source = await connectSource(migration, 'snapshot', { target });
  const mark = await writeMark(source, migration);
  if (await isAlive(source, owner)) return mark;
  throw new Error('the session ended before its snapshot was recorded');
}

/** Waits until all transactions below the barrier have ended; reports the remaining ones. */
async function waitForBarrier(source: pg.ClientBase, barrier: bigint, work: Work): Promise<void> {
  const began = performance.now();
  let warned = began;
  for (;;) {
    // Autocommit: each query takes a new snapshot.
    const { rows } = await source.query<{ xmin: string }>(
      /* sql */ `select pg_snapshot_xmin(pg_current_snapshot())::text as xmin`,
    );
    if (BigInt(rows[0]?.xmin ?? 0) >= barrier) return;
    const waitingFor = renderBlockers(await readBlockers(source, barrier));
    const seconds = Math.round((performance.now() - began) / 1000);
    work.beat({ step: 'waiting for older transactions', waitingFor, seconds });
    if (performance.now() - warned > WARN_EVERY_MS) {
      warned = performance.now();
      work.log.warn('the snapshot waits for transactions that are older than the slot', {
        waitingFor,
      });
    }
    await sleep(BARRIER_POLL_MS, undefined, { signal: work.signal });
  }
}

interface TakenRow {
  snapshot: string;
  name: string;
  lsn: string;
}

/** Null if the snapshot turns out not to be after the barrier; otherwise the transaction stays open. */
async function tryTake(
  source: pg.ClientBase,
  barrier: bigint,
  owner: Backend,
): Promise<Omit<OwnedSnapshot, 'number' | 'mark'> | null> {
  await source.query(/* sql */ `begin isolation level repeatable read read only`);
  // The transaction's first query: the snapshot is taken before the LSN is read, so no commit at or after that LSN is visible.
  const { rows } = await source.query<TakenRow>(/* sql */ `
    select pg_current_snapshot()::text as snapshot, pg_export_snapshot() as name,
           pg_current_wal_insert_lsn()::text as lsn`);
  const row = rows[0];
  const seen = row && parseSnapshot(row.snapshot);
  if (!seen || seen.xmin < barrier) {
    await source.query(/* sql */ `rollback`);
    return null;
  }
  return { ...seen, snapshot: row.name, lsn: parseLsn(row.lsn), owner };
}

async function backendOf(source: pg.ClientBase): Promise<Backend> {
  const { rows } = await source.query<{ pid: number; started: string | null }>(/* sql */ `
    select pid, backend_start::text as started from pg_catalog.pg_stat_activity
     where pid = pg_backend_pid()`);
  const row = rows[0];
  // Null for a role that may not see the login role's sessions (`alter role … set role`).
  if (row && row.started !== null) return { pid: row.pid, started: row.started };
  throw new MigrationError(
    'Denied',
    'the role on the source cannot see its own session in pg_stat_activity: grant it pg_read_all_stats',
  );
}

/** Heartbeats only after the session has answered, so that a hanging session is noticed. */
async function hold(
  taken: OwnedSnapshot,
  source: pg.Client,
  work: Work,
  { nothingLeft, guard }: { readonly nothingLeft: AbortSignal; readonly guard: Guard | null },
): Promise<void> {
  const began = performance.now();
  while (!nothingLeft.aborted) {
    const watchdog = setTimeout(() => cut(source), ANSWER_WITHIN_MS);
    try {
      await source.query(/* sql */ `select 1`);
    } finally {
      clearTimeout(watchdog);
    }
    work.beat({
      step: 'holding the snapshot',
      pass: taken.number,
      pid: taken.owner.pid,
      seconds: Math.round((performance.now() - began) / 1000),
      ...guard?.details,
    });
    await endOrPause(source, work.signal, nothingLeft);
  }
}

/** Waits until the next heartbeat is due, nothing is left to copy, or the session ends, which is noticed at once. */
async function endOrPause(
  source: pg.Client,
  signal: AbortSignal,
  nothingLeft: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  const end = () => ended.abort();
  source.once('end', end);
  try {
    await sleep(BEAT_EVERY_MS, undefined, {
      signal: AbortSignal.any([signal, ended.signal, nothingLeft]),
    });
  } catch (error) {
    signal.throwIfAborted();
    if (nothingLeft.aborted) return;
    if (!ended.signal.aborted) throw error;
    throw new Error('the session ended', { cause: error });
  } finally {
    source.off('end', end);
  }
}

function lost(taken: OwnedSnapshot, error: unknown): MigrationError {
  return new MigrationError(
    'SnapshotLost',
    `the session that held exported snapshot ${taken.number} (pid ${taken.owner.pid} on the source) ended`,
    { pids: [taken.owner.pid] },
    error,
  );
}
