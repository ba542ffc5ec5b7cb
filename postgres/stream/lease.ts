/**
 * One lease of the stream: takes over from the previous attempt, applies what the source commits, and returns the checkpoint.
 * Everything that can go wrong before the first change is checked first. Nothing is assumed about how the last attempt ended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Heartbeat, StreamReport, Work } from '../../contract/work.ts';
import { TargetApplier } from '../apply/applier.ts';
import { lockCapacity, within } from '../catalog/capacity.ts';
import { classify } from '../connection/failure.ts';
import { connectSource, connectTarget, requireFlushed } from '../session/open.ts';
import { readBarrier } from '../store/barrier.ts';
import { holdEpoch, takeEpoch } from '../store/epoch.ts';
import { refuseSwitched } from '../store/outcome.ts';
import { readIdentity } from '../identity/identity.ts';
import { ReplicationReader } from '../replication/reader.ts';
import { backendPidOf } from '../connection/socket.ts';
import { isUnprintable, startFailure } from '../replication/stream-failure.ts';
import { disableEnabledTriggers } from '../schema/disable-found-trigger.ts';
import { whileWatched } from '../session/liveness.ts';
import { messagePrefix, pluginOptions } from '../wal2json/plugin-options.ts';
import { probeNumericAsText } from '../wal2json/probe.ts';
import { streamLease } from './lease-attempt.ts';
import { AnchorPace } from './anchor-pace.ts';
import type { EndedLease } from './lease-parts.ts';
import { proveContinuity } from './continuity.ts';
import { fenced, outlasted } from './lease-abort.ts';
import { ResourceStack } from './resource-stack.ts';
import type { Unsettled } from '../drift/table-mapping.ts';
import { CatalogMoved, Moves } from '../drift/catalog-moved.ts';
import type { ParkedStreams } from './parked.ts';
import { readPlan } from './lease-plan.ts';
import type { StreamOptions } from './stream-options.ts';
import { checkSlot, withSlotFree, type SlotClaim } from './slot-claim.ts';
import { continueLease } from './takeover.ts';

export { fenceStream } from './fence.ts';

/** Locks of a table with changes on the target: the table, its indexes, a staging table with its indexes. */
const LOCKS_PER_CHANGED = 8;

/**
 * Streams for one lease. Returns at a commit boundary: when `until` is reached, when the lease is over, or when the signal
 * was aborted (the caller decides what an abort means).
 * @param parked keeps the stream open for the next lease when this one is over; unset: everything is closed.
 * @throws MigrationError: `CheckpointMissing`, `SlotMissing`, `SlotBusy`, `PluginRefused`, `SchemaDrift`, `UnknownRelation`,
 *   `StreamWarning`, `Resync`, `StreamMalformed`, `Stalled`, `Fenced`, `Contention`, `Unreachable`, and what applying throws.
 */
export async function streamChanges(
  migration: Migration,
  options: StreamOptions,
  work: Work,
  parked?: ParkedStreams,
): Promise<StreamReport> {
  const abandoned = new AbortController();
  const moves = new Moves();
  const pace = new AnchorPace();
  const lease = untilOver(migration, options, work, moves, async (left, renewed) => {
    const whole = { abandoned: abandoned.signal, moves, pace, parked, ...renewed };
    const going = parked && (await continued(migration, left, work, { ...whole, parked }));
    return going ?? oneLease(migration, left, work, whole);
  });
  if (!(await outlasted(lease, work.signal))) return lease;
  // The start of a lease also hangs when the target does. After the fence it can write nothing.
  abandoned.abort();
  return fenced(migration, work);
}

/**
 * After DDL within a lease, reads the catalogs again and continues from the applied LSN. After an anchor, continues from there, too:
 * the path after a crash between its barrier and what the anchor left out is the ordinary one.
 */
async function untilOver(
  migration: Migration,
  options: StreamOptions,
  work: Work,
  moves: Moves,
  lease: (left: StreamOptions, renewed: Pick<Renewal, 'met' | 'leaveAll'>) => Promise<Ended>,
): Promise<StreamReport> {
  let leaveAll = false;
  const deadline = performance.now() + options.leaseMs;
  for (let met: Unsettled | null = null, { leaseMs } = options; ;) {
    try {
      const { report, again } = await lease({ ...options, leaseMs }, { met, leaveAll });
      leaseMs = deadline - performance.now();
      if (!again || leaseMs <= 0 || work.signal.aborted) return report;
      met = null;
    } catch (error) {
      // It may be a row of a table that is not moved, which the plugin can skip.
      if (isUnprintable(error) && !leaveAll && !work.signal.aborted) {
        leaveAll = true;
        continue;
      }
      if (!(error instanceof CatalogMoved)) throw error;
      met = error.met;
      const pause = moves.pauseAfter(error);
      await sleep(pause, undefined, { signal: work.signal }).catch(() => undefined);
      // Between two leases nothing is open; only the target knows where the last one ended.
      if (work.signal.aborted) return fenced(migration, work);
    }
  }
}

type Ended = Pick<EndedLease, 'report' | 'again'>;

/** What a lease gets from earlier ones. */
interface Renewal {
  /** Aborted when no one waits for the lease any longer. */
  readonly abandoned: AbortSignal;
  /** The change that caused the restart. */
  readonly met: Unsettled | null;
  readonly moves: Moves;
  readonly pace: AnchorPace;
  /** Whether the plugin must omit every table that is not moved. */
  readonly leaveAll: boolean;
  readonly parked: ParkedStreams | undefined;
}

async function continued(
  migration: Migration,
  options: StreamOptions,
  work: Work,
  renewal: Renewal & { readonly parked: ParkedStreams },
): Promise<Ended | null> {
  try {
    return await continueLease(migration, options, work, renewal);
  } catch (error) {
    if (error instanceof CatalogMoved) throw error;
    throw classify(error, { step: 'stream' }, 'Internal');
  }
}

async function oneLease(
  migration: Migration,
  options: StreamOptions,
  work: Work,
  { abandoned, met, moves, pace, leaveAll, parked }: Renewal,
): Promise<Ended> {
  try {
    await using held = new ResourceStack();
    // Each step of the start has a time limit; a heartbeat between them shows progress.
    let stored: Heartbeat = {};
    const step = (): void => work.beat({ phase: 'stream', step: 'starting', ...stored });
    const target = held.add(await connectTarget(migration, 'apply'));
    // An abandoned lease must not end its successor.
    if (abandoned.aborted)
      throw new MigrationError('Fenced', 'the lease was abandoned during its start');
    await refuseSwitched(target, migration);
    // Before anything that needs the slot: to free a slot in use, its session is ended, which an outdated attempt must not
    // do.
    const attempt = await takeEpoch(target, migration, options.floor, work.scheduledAt ?? null);
    moves.begin(attempt.confirmedLsn);
    // Only now: an earlier attempt could still have written one.
    const barrier = await readBarrier(target, migration);
    // An observer that starts after a kill has no other numbers.
    const { confirmedLsn, transactions, changes } = attempt;
    stored = { confirmedLsn, transactions, changes };
    const claim: SlotClaim = {
      waiting: step,
      stillMine: () => holdEpoch(target, migration, attempt.epoch),
    };
    step();
    const source = held.add(await connectSource(migration, 'stream', { target }));
    step();
    const asText = await probe(source, migration, claim);
    const applier = held.add(
      await TargetApplier.open(migration, { numericAsText: asText }, target),
    );
    await checkSlot(source, migration, attempt.confirmedLsn);
    const prove = () =>
      proveContinuity(source, applier.client, migration, (ask) =>
        whileWatched([source], work, () => ({ phase: 'stream', step: 'comparing histories' }), ask),
      );
    await withSlotFree(source, migration, prove, claim);
    // If the source lost a mark that was written and flushed, the wait for it would never end.
    if (options.until !== null) await requireFlushed(source, migration, options.until);
    // A lease with `leaveAll` does not stay open: the next one starts without it, and may find again that it needs it.
    const mayStayOpen = parked !== undefined && options.until === null && !leaveAll;
    let doing = 'comparing catalogs';
    const plan = await whileWatched(
      [source, { side: 'target', migration, purpose: 'apply', pid: backendPidOf(applier.client) }],
      work,
      () => ({ phase: 'stream', step: doing }),
      () =>
        readPlan(source, applier.client, migration, {
          ...{ selection: options, attempt, met, leaveAll, compared: mayStayOpen },
          ...(options.ignore === undefined ? {} : { ignore: options.ignore }),
          ...(options.joined === undefined ? {} : { joined: options.joined }),
          tell: (what) => (doing = what),
        }),
    );
    const { replicaRole } = applier;
    await disableEnabledTriggers(applier.client, migration, 'all', {
      ...{ replicaRole, log: work.log, purpose: 'apply' },
      beat: (details) => work.beat({ phase: 'stream', ...details, ...stored }),
    });
    const tablesPerBatch = within(await lockCapacity(applier.client), LOCKS_PER_CHANGED);
    step();
    const open = async (): Promise<ReplicationReader> =>
      ReplicationReader.open({
        service: migration.source,
        server: await readIdentity(source, migration.source),
        slot: migration.slot,
        start: attempt.confirmedLsn,
        unsent: 'deliver',
        plugin: pluginOptions({
          schemas: plan.schemas,
          without: plan.without,
          numericAsText: asText,
          messages: messagePrefix(migration),
        }),
        ...(options.limits === undefined ? {} : { limits: options.limits }),
      });
    const reader = held.add(await withSlotFree(source, migration, open, claim));
    work.log.info('stream started', {
      epoch: attempt.epoch.toString(),
      confirmedLsn: attempt.confirmedLsn,
    });
    const stream = {
      ...{ migration, options, source, applier, plan, reader, numericAsText: asText },
      openedAt: performance.now(),
    };
    const ended = await streamLease({
      ...{ ...stream, work, attempt, barrier, pace, tablesPerBatch },
      ...{ checked: () => true, mayStayOpen },
    });
    if (ended.open) parked?.park({ ...stream, tablesPerBatch, ...ended.open, held: held.move() });
    return ended;
  } catch (error) {
    if (error instanceof CatalogMoved) throw error;
    throw classify(error, { step: 'stream' }, 'Internal');
  }
}

/** First use of the slot: problems of the slot or the plugin show here. */
async function probe(source: pg.Client, migration: Migration, claim: SlotClaim): Promise<boolean> {
  const { slot } = migration;
  const ask = async (): Promise<boolean> => {
    try {
      return await probeNumericAsText(source, slot);
    } catch (error) {
      throw startFailure(error, slot, true);
    }
  };
  return withSlotFree(source, migration, ask, claim);
}
