/**
 * One lease of the stream: takes over from whoever streamed before, applies what the source commits, and returns the
 * checkpoint. Everything that can go wrong before the first change is looked at first, and nothing is assumed about how the
 * last attempt ended.
 */
import type pg from 'pg';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Checkpoint, Heartbeat, StreamReport, Work } from '../../contract/work.ts';
import { TargetApplier } from '../apply/target.ts';
import { classify } from '../connection/failure.ts';
import { connect } from '../connection/session.ts';
import { takeEpoch, type Attempt } from '../control/epoch.ts';
import { ReplicationReader, type ReaderLimits } from '../replication/reader.ts';
import { within } from '../replication/deadline.ts';
import { startFailure } from '../replication/refusal.ts';
import { pluginOptions } from '../wal2json/options.ts';
import { probeNumericAsText } from '../wal2json/probe.ts';
import { Lease } from './lease.ts';
import { StreamLoop, type LoopLimits } from './loop.ts';
import { Meter } from './meter.ts';
import { readPlan, type StreamPlan } from './plan.ts';
import { Pulse } from './pulse.ts';
import { checkSlot, confirmedBySource, released, withSlotFree } from './slot.ts';
import { TargetWriter } from './writer.ts';

export interface StreamOptions {
  /** LSN that the workflow saw confirmed last; the target must not stand below it. */
  readonly floor: Lsn | null;
  /** Return as soon as everything that commits before it is applied. */
  readonly until: Lsn | null;
  readonly leaseMs: number;
  readonly batchChanges: number;
  readonly batchMilliseconds: number;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** For tests: smaller limits make rare shapes cheap. */
  readonly limits?: Partial<ReaderLimits & Omit<LoopLimits, 'changes' | 'age'>>;
}

/** Text of one batch or piece: a bound on memory for wide rows. */
const BATCH_BYTES = 32 * 1024 * 1024;
const POSITION_MS = 5_000;
const POSITION_BYTES = 16 * 1024 * 1024;
/** After an abort a batch may finish; a target that is stuck longer is cut off, and asked where it stands. */
const ABORT_MS = 3_000;
/** The same for a whole lease, which may hang in its beginnings, and has the slot to let go of at its end. */
const ABORT_LEASE_MS = 8_000;

/**
 * Streams for one lease. Returns at a commit boundary: when `until` is reached, when the lease is over, or when the signal
 * was aborted (the caller decides what an abort means).
 * @throws MigrationError: `CheckpointMissing`, `SlotMissing`, `SlotBusy`, `PluginRefused`, `SchemaDrift`, `UnknownRelation`,
 *   `StreamWarning`, `StreamMalformed`, `Stalled`, `Fenced`, `Unreachable`, and what applying throws.
 */
export async function streamChanges(
  migration: Migration,
  options: StreamOptions,
  work: Work,
): Promise<StreamReport> {
  const lease = oneLease(migration, options, work);
  const cut = await outlasted(lease, work.signal);
  // Also the way to a lease stands still when the target does; nothing is written by it after the fence.
  return cut ? stoppedReport(await fence(migration)) : lease;
}

async function oneLease(
  migration: Migration,
  options: StreamOptions,
  work: Work,
): Promise<StreamReport> {
  try {
    await using source = await connect(migration.source, 'stream');
    // Each step of the beginning is bounded; the beat between them tells that it gets on.
    const step = (): void => work.beat({ phase: 'stream', step: 'starting' });
    step();
    const asText = await probe(source, migration, step);
    await using applier = await TargetApplier.open(migration, { numericAsText: asText });
    const attempt = await takeEpoch(applier.client, migration, options.floor);
    step();
    await checkSlot(source, migration, attempt.confirmedLsn);
    const plan = await readPlan(source, applier.client, migration, options);
    step();
    const open = (): Promise<ReplicationReader> =>
      ReplicationReader.open({
        service: migration.source,
        slot: migration.slot,
        start: attempt.confirmedLsn,
        plugin: pluginOptions({ schemas: plan.schemas, numericAsText: asText }),
        ...(options.limits === undefined ? {} : { limits: options.limits }),
      });
    await using reader = await withSlotFree(source, migration, open, step);
    work.log.info('stream started', {
      epoch: attempt.epoch.toString(),
      confirmedLsn: attempt.confirmedLsn,
    });
    return await streamLease({
      migration,
      options,
      work,
      source,
      applier,
      attempt,
      plan,
      reader,
    });
  } catch (error) {
    throw classify(error, { step: 'stream' }, 'Internal');
  }
}

/** Resolves when the lease has ended (false) or goes on too long after an abort (true). */
async function outlasted(lease: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  const ended = lease.then(
    () => false,
    () => false,
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    const wait = (): void => {
      timer = setTimeout(() => resolve(true), ABORT_LEASE_MS);
    };
    if (signal.aborted) wait();
    else signal.addEventListener('abort', wait, { once: true });
    void ended.then(() => signal.removeEventListener('abort', wait));
  });
  return Promise.race([ended, late]).finally(() => clearTimeout(timer));
}

/** What is known when only the target could be asked. */
function stoppedReport(stopped: Stopped): StreamReport {
  return {
    ...stopped,
    receivedLsn: stopped.confirmedLsn,
    lagBytes: 0,
    lagSeconds: 0,
    rate: 0,
    reached: false,
  };
}

/**
 * Makes sure that no attempt writes any more, and says where the target stands: for every stop without an answer.
 * @throws MigrationError `CheckpointMissing`, `Unreachable`.
 */
export async function fenceStream(migration: Migration): Promise<Checkpoint> {
  const { confirmedLsn, transactions, changes } = await fence(migration);
  return { confirmedLsn, transactions, changes };
}

type Stopped = Checkpoint & Pick<StreamReport, 'firstConsistent'>;

async function fence(migration: Migration): Promise<Stopped> {
  try {
    await using client = await connect(migration.target, 'apply');
    const { confirmedLsn, transactions, changes, firstConsistent } = await takeEpoch(
      client,
      migration,
    );
    return { confirmedLsn, transactions, changes, firstConsistent };
  } catch (error) {
    throw classify(error, { step: 'fence the stream', side: 'target' }, 'Internal');
  }
}

interface Parts {
  readonly migration: Migration;
  readonly options: StreamOptions;
  readonly work: Work;
  readonly source: pg.Client;
  readonly applier: TargetApplier;
  readonly attempt: Attempt;
  readonly plan: StreamPlan;
  readonly reader: ReplicationReader;
}

async function streamLease(parts: Parts): Promise<StreamReport> {
  const { migration, options, work, source, applier, attempt, plan, reader } = parts;
  const meter = new Meter();
  const inTurn = turns();
  await meter.measure(source);
  const writer = new TargetWriter(applier, attempt, plan.newest);
  const loop = new StreamLoop({
    reader,
    writer,
    routes: plan.routes,
    settle: (table) => inTurn(() => plan.settle(table)),
    newest: plan.newest,
    lease: new Lease(options.leaseMs, Date.now()),
    meter,
    limits: {
      bytes: BATCH_BYTES,
      positionMs: POSITION_MS,
      positionBytes: POSITION_BYTES,
      ...options.limits,
      changes: options.batchChanges,
      age: options.batchMilliseconds,
    },
    until: options.until,
    signal: work.signal,
  });
  const numbers = (): Omit<StreamReport, 'reached' | 'firstConsistent'> => {
    const { confirmedLsn, transactions, changes } = writer.checkpoint;
    const { receivedLsn } = reader;
    const { waiting } = loop;
    return {
      confirmedLsn,
      receivedLsn: compareLsn(receivedLsn, confirmedLsn) < 0 ? confirmedLsn : receivedLsn,
      lagBytes: meter.lagBytes(confirmedLsn, receivedLsn),
      lagSeconds: waiting === undefined ? 0 : meter.lagSeconds(waiting),
      transactions,
      changes,
      rate: meter.rate,
    };
  };
  {
    await using pulse = new Pulse({
      work,
      migration,
      applierPid: pidOf(applier.client),
      vitals: () => ({ progress: loop.progress + reader.heard, applying: loop.applying }),
      details: (): Heartbeat => ({ phase: 'stream', ...numbers() }),
      measure: () => inTurn(() => meter.measure(source)),
    });
    pulse.start();
    await loop.run();
    if (work.signal.aborted) {
      const fenced = await stopWriting(parts, loop, writer);
      if (fenced) {
        // The target was cut off: what it holds is what it says now.
        await inTurn(() => letGo(parts, fenced.confirmedLsn));
        return { ...numbers(), ...fenced, reached: false };
      }
    }
  }
  const { confirmedLsn, firstConsistent } = writer.checkpoint;
  await letGo(parts, confirmedLsn);
  return { ...numbers(), firstConsistent, reached: loop.reached };
}

/** One after another over one session: the driver would queue them, and wants its callers to do that. */
function turns(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const mine = last.then(task);
    last = mine.catch(() => undefined);
    return mine;
  };
}

/** After an abort: lets the batch at work finish, gives up a transaction that is only half there. Null when that was enough. */
async function stopWriting(
  { migration, work }: Parts,
  loop: StreamLoop,
  writer: TargetWriter,
): Promise<Stopped | null> {
  try {
    await within(ABORT_MS, loop.settled());
    if (!loop.failed) {
      await within(ABORT_MS, writer.rollback());
      return null;
    }
  } catch {
    work.log.warn('the target did not finish its batch in time; ending its session');
  }
  // Also after a failure: the answer to a COMMIT may have been lost.
  return fence(migration);
}

/** The slot's first use: what is wrong with it, or with the plugin, shows here. */
async function probe(
  source: pg.Client,
  migration: Migration,
  waiting: () => void,
): Promise<boolean> {
  const { slot } = migration;
  const ask = async (): Promise<boolean> => {
    try {
      return await probeNumericAsText(source, slot);
    } catch (error) {
      throw startFailure(error, slot, true);
    }
  };
  return withSlotFree(source, migration, ask, waiting);
}

/** Tells the source how far it is, and leaves the slot free for the next lease. A source that is gone is its problem, not ours. */
async function letGo({ source, migration, reader, work }: Parts, lsn: Lsn): Promise<void> {
  const pid = reader.backendPid;
  const step = (): void => work.beat({ phase: 'stream', step: 'ending', confirmedLsn: lsn });
  try {
    step();
    reader.confirm(lsn);
    if (!(await confirmedBySource(source, migration.slot, lsn))) {
      work.log.warn('the source has not written down the confirmed LSN yet', { lsn });
    }
    step();
    await reader.stop();
    if (!(await released(source, migration.slot, pid))) {
      work.log.warn('the slot is still in use', { slot: migration.slot });
    }
  } catch (error) {
    const { code } = classify(error, {}, 'Internal');
    work.log.warn('the source did not answer at the end of the lease', { code });
  }
}

function pidOf(client: pg.Client): number | null {
  const pid: unknown = Reflect.get(client, 'processID');
  return typeof pid === 'number' ? pid : null;
}
