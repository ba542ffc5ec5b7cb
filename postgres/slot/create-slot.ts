/**
 * Creates the slot and the xid barrier. Short and idempotent: it does not use the snapshot that slot creation exports, which ends
 * with its session, so a crash afterwards costs nothing. Each precaution is for an observed failure:
 *
 * - a slot whose `confirmed_flush_lsn` is null is not ready and is never adopted;
 * - a creator that died leaves a waiting backend on the source that creates the slot later, hence the lock timeout and the
 *   connection check of the creating session;
 * - the xid barrier is a transaction id assigned after the slot is ready: only a snapshot in which every older transaction has
 *   ended contains everything that the slot does not deliver.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { SlotReport, Work } from '../../contract/work.ts';
import { readSchemaRows } from '../catalog/schema-row.ts';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';
import { readNewestSnapshot } from '../store/exported-snapshot.ts';
import { readMigration, requireMigration, type MigrationState } from '../store/migration.ts';
import { recordSchemas } from '../store/recorded-schema.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { writeMark } from '../replication/flushed-mark.ts';
import { pidsOf, readBlockers, renderBlockers } from './blockers.ts';
import { dropLostSlot, removeSlot } from './drop-slot.ts';
import { lookAtSlot, type SlotState } from './slot-state.ts';
import { creationFailure } from './creation-failure.ts';
import { storeConsistentPoint } from '../store/consistent-point.ts';

/**
 * Slot creation waits for one transaction after another. If long transactions are always open, the timeout must exceed their
 * length: twice the age of the oldest one, within these bounds.
 */
const LOCK_TIMEOUT_LEAST_MS = 30_000;
const LOCK_TIMEOUT_MOST_MS = 600_000;
const WATCH_EVERY_MS = 1_000;
const WARN_EVERY_MS = 30_000;

export interface SlotOptions {
  /** Overrides the computed timeout, for tests. */
  readonly lockTimeoutMs?: number;
}

/**
 * Creates the slot and the xid barrier, or adopts those of an earlier attempt; stores both on the target.
 * @throws MigrationError `SlotBlocked` with the blocking transactions, `PluginRefused`, `Denied`, `SlotMissing` if a slot in use
 *   by the copy is gone, `SlotBusy`, `CheckpointMissing`; `signal.reason` when aborted.
 */
export async function createSlot(
  migration: Migration,
  work: Work,
  options: SlotOptions = {},
): Promise<SlotReport> {
  try {
    await using target = await connectTarget(migration, 'slot');
    await using source = await connectSource(migration, 'slot', { target });
    const stored = await requireMigration(target, migration);
    const begun = (await readNewestSnapshot(target, migration)) !== null;
    let found = await lookAtSlot(source, migration.slot);
    if (stored.consistentLsn !== null && found !== null && isTheStoredOne(stored, found)) {
      return { slot: migration.slot, consistentLsn: stored.consistentLsn };
    }
    if (begun) throw lostSlot(migration);
    // A slot in use is not finished either: its creator has not made it persistent yet.
    if (
      found !== null &&
      (found.confirmedFlushLsn === null || found.activePid !== null || found.lost)
    ) {
      work.log.warn('removing a slot that an earlier attempt did not finish', {
        slot: migration.slot,
      });
      // Checked again, because this may have taken long: a newer attempt's copy may need the slot.
      if ((await readNewestSnapshot(target, migration)) !== null) throw lostSlot(migration);
      await (found.lost
        ? dropLostSlot(source, migration.slot)
        : removeSlot(source, migration.slot));
      found = null;
    }
    // Before the slot: it delivers no transaction that is open now, and of a later one this shows whether a schema was renamed.
    await recordSchemas(target, migration, await readSchemaRows(source), 'first');
    const consistentLsn =
      found?.confirmedFlushLsn ?? (await create(migration, source, work, options));
    try {
      // The barrier must be durable: after a crash its id might not be assigned again, and every snapshot would wait for it.
      await store(target, migration, consistentLsn, (await writeMark(source, migration)).xid);
    } catch (error) {
      // A cleanup ran in parallel, so nothing else would drop this slot.
      if ((await readMigration(target, migration.id)) === null) {
        await removeSlot(source, migration.slot);
      }
      throw error;
    }
    work.log.info('slot created', { slot: migration.slot, consistentLsn });
    return { slot: migration.slot, consistentLsn };
  } catch (error) {
    work.signal.throwIfAborted();
    throw classify(error, { step: `creating slot "${migration.slot}"` }, 'Internal');
  }
}

/** No one advances the slot before the stream begins: another position means another slot, created after the stored barrier. */
function isTheStoredOne(stored: MigrationState, found: SlotState): boolean {
  if (found.lost || found.confirmedFlushLsn === null) return false;
  return stored.epoch > 0n || found.confirmedFlushLsn === stored.consistentLsn;
}

function lostSlot({ slot, source }: Migration): MigrationError {
  return new MigrationError(
    'SlotMissing',
    `slot "${slot}" is missing or lost on the source "${source}", but rows that depend on it are already copied`,
    { slot },
  );
}

async function create(
  migration: Migration,
  watcher: pg.ClientBase,
  work: Work,
  options: SlotOptions,
): Promise<Lsn> {
  const oldestMs = 1000 * ((await readBlockers(watcher, null))[0]?.seconds ?? 0);
  const lockTimeoutMs =
    options.lockTimeoutMs ??
    Math.min(LOCK_TIMEOUT_MOST_MS, Math.max(LOCK_TIMEOUT_LEAST_MS, 2 * oldestMs));
  await using creator = await connectSource(migration, 'slot', {
    lockTimeoutMs,
    signal: work.signal,
  });
  using watch = new Watch(migration, watcher, work);
  try {
    // A literal in the statement's text, by which drop-slot.ts finds orphaned creators.
    const { rows } = await creator.run(() =>
      creator.query<{ lsn: string }>(
        /* sql */ `select lsn::text from pg_create_logical_replication_slot(${pg.escapeLiteral(migration.slot)}, 'wal2json')`,
      ),
    );
    return parseLsn(rows[0]?.lsn ?? '');
  } catch (error) {
    await watch.end();
    work.signal.throwIfAborted();
    if (sqlstate(error) !== SQLSTATE.lockNotAvailable) {
      throw await creationFailure(error, migration.slot, watcher);
    }
    const blockers = await readBlockers(watcher, null);
    throw new MigrationError(
      'SlotBlocked',
      `creating slot "${migration.slot}" waited more than ${Math.round(lockTimeoutMs / 1000)} s for open transactions on the source: ${renderBlockers(blockers)}`,
      { slot: migration.slot, sqlstate: SQLSTATE.lockNotAvailable, pids: pidsOf(blockers) },
    );
  } finally {
    await watch.end();
  }
}

/**
 * The greatest barrier wins: an overtaken attempt must not overwrite the newer slot's position with its own. From the first
 * exported snapshot on the position is final, because copied rows depend on it.
 */
async function store(
  target: pg.ClientBase,
  migration: Migration,
  consistentLsn: Lsn,
  barrier: bigint,
): Promise<void> {
  if (await storeConsistentPoint(target, migration, consistentLsn, barrier)) return;
  throw new MigrationError(
    'SlotBusy',
    `another attempt has already created slot "${migration.slot}"`,
    { slot: migration.slot },
  );
}

/** Reports blocking transactions while the creator waits. */
class Watch implements Disposable {
  readonly #ended = new AbortController();
  readonly #loop: Promise<void>;

  constructor(migration: Migration, client: pg.ClientBase, work: Work) {
    this.#loop = this.#run(migration, client, work);
  }

  /** Afterwards the watching session is free for other queries. */
  async end(): Promise<void> {
    this.#ended.abort();
    await this.#loop;
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }

  async #run(migration: Migration, client: pg.ClientBase, work: Work): Promise<void> {
    const began = performance.now();
    let warned = began;
    const either = AbortSignal.any([this.#ended.signal, work.signal]);
    for (;;) {
      await sleep(WATCH_EVERY_MS, undefined, { signal: either }).catch(() => undefined);
      if (either.aborted) return;
      try {
        const waitingFor = renderBlockers(await readBlockers(client, null));
        const seconds = Math.round((performance.now() - began) / 1000);
        work.beat({ step: 'creating the slot', waitingFor, seconds });
        if (performance.now() - warned > WARN_EVERY_MS) {
          warned = performance.now();
          work.log.warn('creating the slot waits for open transactions', {
            slot: migration.slot,
            waitingFor,
          });
        }
      } catch {
        // A broken watcher must not end the creation; without heartbeats, Temporal's timeout decides.
        return;
      }
    }
  }
}
