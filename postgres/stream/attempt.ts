/**
 * One lease once everything is open: runs the loop, shows its pulse, and ends it so that the next lease finds the slot free
 * and the source knows what the target holds.
 */
import { constants } from 'node:buffer';
import type pg from 'pg';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Heartbeat, StreamReport, Work } from '../../contract/work.ts';
import { nameOf } from '../catalog/table-name.ts';
import type { TargetApplier } from '../apply/target.ts';
import { classify } from '../connection/failure.ts';
import { cut } from '../connection/session.ts';
import type { Attempt } from '../control/epoch.ts';
import { within } from '../replication/deadline.ts';
import type { ReplicationReader } from '../replication/reader.ts';
import { backendPidOf } from '../replication/socket.ts';
import { ApplyThrottle } from '../throttle/apply.ts';
import type { StreamOptions } from './changes.ts';
import type { Batch } from './batch.ts';
import { fence, type Stopped } from './fence.ts';
import type { Left } from './filter.ts';
import { Lease } from './lease.ts';
import { StreamLoop, type LoopParts } from './loop.ts';
import { Marks } from './marks.ts';
import { TriggerCheck } from './trigger-check.ts';
import { Meter } from './meter.ts';
import { Onlooker } from './onlooker.ts';
import type { StreamPlan } from './plan.ts';
import { Pulse } from './pulse.ts';
import { confirmedBySource, released } from './slot.ts';
import { StandbyWatch } from './standby.ts';
import { verifyCatalog } from './verify.ts';
import { TargetWriter } from './writer.ts';

/** Text of one batch or piece: a bound on memory for wide rows. */
const BATCH_BYTES = 4 * 1024 * 1024;
const POSITION_MS = 5_000;
const POSITION_BYTES = 16 * 1024 * 1024;
/** After an abort a batch may finish; a target that is stuck longer is cut off, and asked where it stands. */
const ABORT_MS = 3_000;

/** Commits are shown within milliseconds, with synchronous replication within a round trip. */
const HIDDEN_WARN_MS = 5_000;

export interface LeaseParts {
  readonly migration: Migration;
  readonly options: StreamOptions;
  readonly work: Work;
  readonly source: pg.Client;
  readonly applier: TargetApplier;
  readonly attempt: Attempt;
  readonly plan: StreamPlan;
  readonly reader: ReplicationReader;
  /** Whether the plugin sends numbers as text. */
  readonly numericAsText: boolean;
  /** How many tables one transaction of the target may lock. */
  readonly tablesPerBatch: number;
  /** That of the lease before, which goes on; unset: the stream has just begun. */
  readonly loop?: StreamLoop;
  /**
   * Whether all tables were compared at the beginning of this lease or since; false: the next lease has to begin with it. Called once the
   * lease is over.
   */
  readonly checked: () => boolean;
  /** Whether the caller can keep the stream open until the next lease. */
  readonly mayStayOpen: boolean;
}

export interface EndedLease {
  readonly report: StreamReport;
  /** Where the next lease can go on, over what is open; null when the slot was let go. */
  readonly open: { readonly loop: StreamLoop; readonly attempt: Attempt } | null;
}

/**
 * Streams until the lease ends, in one of the ways that `streamChanges` names.
 * @param begun is called with the loop once it is about to run.
 */
export async function streamLease(
  parts: LeaseParts,
  begun: (loop: StreamLoop) => void = () => undefined,
): Promise<EndedLease> {
  const { migration, options, work, source, applier, attempt, plan, reader } = parts;
  const meter = new Meter();
  const inTurn = turns();
  await meter.measure(source);
  let looks = 0;
  let warned = false;
  // The pulse goes on: to the operator it would look as if nothing were committed on the source.
  const standby = new StandbyWatch(reader.backendPid);
  const waiting = async (forMs: number): Promise<void> => {
    // It may be long: an abort gives the batch up, and the session is free for letting go of the slot.
    work.signal.throwIfAborted();
    looks += 1;
    await standby.look(source, forMs);
    if (warned || forMs < HIDDEN_WARN_MS) return;
    warned = true;
    work.log.warn(
      'the source has sent a transaction that it does not show yet: its commit waits, for a synchronous standby most likely',
      { seconds: Math.round(forMs / 1000) },
    );
  };
  const enabled = new TriggerCheck(applier.replicaRole);
  const verify = (batch: Batch): Promise<void> => {
    enabled.met(batch.relations);
    plan.truncating(batch.changes);
    return inTurn(() => {
      const left = plan.mappings.takeMet();
      const renamed = (one: Left): Promise<void> => plan.leave(one);
      const { fingerprints, types, schemaRows } = plan;
      const refuseDoubtful = (): void => plan.refuseDoubtful();
      const known = { fingerprints, types, left, renamed, schemas: schemaRows, refuseDoubtful };
      return verifyCatalog(source, batch, known, waiting);
    });
  };
  const writer = new TargetWriter(
    applier,
    attempt,
    plan.newest,
    verify,
    ({ xids }) =>
      inTurn(async () => {
        await plan.explained(xids);
        await enabled.refuse(applier.client);
      }),
    enabled,
  );
  const until = plan.stopsAtMark ? earlier(options.until, plan.mark) : options.until;
  const throttle = new ApplyThrottle(applier.client, migration, work.signal);
  const loopParts: LoopParts = {
    reader,
    writer,
    mappings: plan.mappings,
    settle: (table) => inTurn(() => plan.settle(table)),
    emptied: (table, xid) => plan.emptied.met(nameOf(table), xid),
    missed: (table) => inTurn(() => plan.missed(table)),
    doubt: plan.doubt,
    newest: plan.newest,
    numericAsText: parts.numericAsText,
    marks: new Marks(plan.marks, attempt.confirmedLsn),
    lease: new Lease(options.leaseMs, performance.now()),
    meter,
    limits: {
      bytes: BATCH_BYTES,
      positionMs: POSITION_MS,
      positionBytes: POSITION_BYTES,
      tables: parts.tablesPerBatch,
      messageBytes: constants.MAX_STRING_LENGTH,
      ...options.limits,
      get changes() {
        return throttle.batch(options.batchChanges);
      },
      age: options.batchMilliseconds,
    },
    // Writers wait for a drain.
    ...(options.until === null ? { allow: (changes, open) => throttle.pass(changes, open) } : {}),
    until,
    signal: work.signal,
  };
  const loop = parts.loop ?? new StreamLoop(loopParts);
  parts.loop?.continueWith(loopParts);
  // After the loop was made: the pieces of a huge transaction keep their size when the limit is lifted.
  if (options.until === null) await throttle.begin();
  const numbers = (): Omit<StreamReport, 'reached' | 'consistent'> => {
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
    await using target = new Onlooker('target', migration, backendPidOf(applier.client));
    await using origin = new Onlooker('source', migration, backendPidOf(source));
    await using pulse = new Pulse({
      work,
      onlookers: { target, source: origin },
      stuckMs: options.limits?.stuckMs,
      vitals: () => ({
        moved: loop.progress + reader.heard + looks + throttle.looks,
        done: loop.done + looks + throttle.looks,
        applying: loop.applying,
        idle: loop.waiting === undefined,
      }),
      details: (): Heartbeat => ({ phase: 'stream', ...numbers(), ...throttle.details }),
      measure: () => inTurn(() => meter.measure(source)),
      stuck: (forMs) => {
        loop.fail(stuckFailure(parts, writer, forMs));
        // What is awaited fails then: an answer that was lost would be awaited without end.
        cut(applier.client);
        cut(source);
      },
    });
    pulse.start();
    begun(loop);
    await runToEnd(loop, writer, plan, (failure) =>
      // Where the source does not answer the failure is what it is.
      inTurn(() => plan.explain(failure)).catch(() => failure),
    );
    if (work.signal.aborted) {
      const fenced = await stopWriting(parts, loop, writer);
      if (fenced) {
        // The target was cut off: what it holds is what it says now.
        await inTurn(() => letGo(parts, fenced.confirmedLsn));
        return { report: { ...numbers(), ...fenced, reached: false }, open: null };
      }
    }
  }
  work.log.info('lease ended', { ...loop.ways.summary });
  const { checkpoint } = writer;
  const { confirmedLsn, consistent } = checkpoint;
  const reached = options.until !== null && compareLsn(confirmedLsn, options.until) >= 0;
  const report = { ...numbers(), consistent, reached };
  // Behind the lease in which the target becomes consistent the workflow makes constraints, which this session has not seen.
  const next = options.until === null && attempt.consistent && !work.signal.aborted;
  if (parts.mayStayOpen && next && plan.steady && !loop.failed && parts.checked()) {
    reader.confirm(confirmedLsn);
    return { report, open: { loop, attempt: { ...checkpoint, epoch: attempt.epoch } } };
  }
  await letGo(parts, confirmedLsn);
  await plan.passed(confirmedLsn, reached);
  return { report, open: null };
}

/** Runs the loop. What it learnt when it failed is written only when the batch at work is through and nothing is open. */
async function runToEnd(
  loop: StreamLoop,
  writer: TargetWriter,
  plan: StreamPlan,
  explain: (failure: unknown) => Promise<unknown>,
): Promise<void> {
  try {
    await loop.run();
  } catch (error) {
    await loop.settled();
    // The pieces of a huge transaction that were applied so far: its end will not come in this lease.
    await writer.rollback();
    const failure = await explain(error);
    await plan.note();
    throw failure;
  }
}

function stuckFailure(
  { migration: { slot } }: LeaseParts,
  { checkpoint: { confirmedLsn: lsn } }: TargetWriter,
  forMs: number,
): MigrationError {
  const seconds = Math.round(forMs / 1000);
  return new MigrationError(
    'Stalled',
    `the stream does not get on: for ${seconds} s an answer was awaited, and neither server says that it is at work for it`,
    { lsn, slot },
  );
}

function earlier(a: Lsn | null, b: Lsn | null): Lsn | null {
  if (a === null || b === null) return a ?? b;
  return compareLsn(a, b) < 0 ? a : b;
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
  { migration, work }: LeaseParts,
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
  return fence(migration, work.scheduledAt ?? null);
}

/** Tells the source how far it is, and leaves the slot free for the next lease. A source that is gone is its problem, not ours. */
async function letGo({ source, migration, reader, work }: LeaseParts, lsn: Lsn): Promise<void> {
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
