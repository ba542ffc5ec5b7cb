/**
 * One lease after everything is open: runs the loop, sends its heartbeats, and ends it so that the next lease finds the slot
 * free and the source has the confirmed LSN.
 */
import { turns } from './session-queue.ts';
import { within } from '../replication/deadline.ts';
import { classify } from '../connection/failure.ts';
import { leaveSlot } from './lease-release.ts';
import { constants } from 'node:buffer';
import type pg from 'pg';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Heartbeat, StreamReport, Work } from '../../contract/work.ts';
import { nameOf } from '../catalog/table-name.ts';
import type { TargetApplier } from '../apply/applier.ts';
import { cut } from '../connection/connect.ts';
import type { Attempt } from '../store/epoch.ts';
import { confirmTables } from '../store/table-move.ts';
import { readTableStates } from '../store/table-report.ts';
import type { ReplicationReader } from '../replication/reader.ts';
import { backendPidOf } from '../connection/socket.ts';
import { ApplyThrottle } from '../throttle/apply-throttle.ts';
import type { StreamOptions } from './stream-options.ts';
import type { Batch } from '../apply/batch.ts';
import { stopWriting } from './lease-abort.ts';
import type { Left } from '../drift/table-mapping.ts';
import { LeaseEnd } from './lease-end.ts';
import { StreamLoop } from './loop.ts';
import type { LoopParts } from './loop-parts.ts';
import { SnapshotMarks } from './snapshot-mark.ts';
import { TriggerCheck } from './trigger-check.ts';
import { Meter } from './meter.ts';
import { Onlooker } from '../session/onlooker.ts';
import type { StreamPlan } from './stream-plan.ts';
import { Pulse } from './pulse.ts';
import { StandbyWatch } from './synchronous-standby.ts';
import { verifyCatalog } from '../drift/verify-catalog.ts';
import { TargetWriter } from './target-writer.ts';

/** Size of one batch or part: limits the memory for wide rows. */
const BATCH_BYTES = 4 * 1024 * 1024;
const POSITION_MS = 5_000;
const POSITION_BYTES = 16 * 1024 * 1024;
/** With 100,000 tables it takes some tenths of a second. */
const STATES_MS = 5_000;
/** Commits become visible within milliseconds, with synchronous replication within a round trip. */
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
  /** How many tables one target transaction may lock. */
  readonly tablesPerBatch: number;
  /** The loop of the previous lease, to continue; unset when the stream was just opened. */
  readonly loop?: StreamLoop;
  /**
   * Whether all tables were compared at the start of this lease or since then. If not, the next lease must start with a drift
   * check. Called when the lease is over.
   */
  readonly checked: () => boolean;
  /** Whether the caller can keep the stream open until the next lease. */
  readonly mayStayOpen: boolean;
}

export interface EndedLease {
  readonly report: StreamReport;
  /** What the next lease can continue with; null when the slot was released. */
  readonly open: { readonly loop: StreamLoop; readonly attempt: Attempt } | null;
}

/**
 * Streams until the lease ends, for one of the reasons that `streamChanges` lists.
 * @param begun is called with the loop just before it runs.
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
  // The heartbeats continue during this wait: without the watch, it would look to the operator as if the source had no commits.
  const standby = new StandbyWatch(reader.backendPid);
  const waiting = async (forMs: number): Promise<void> => {
    // The wait may be long: an abort discards the batch, and the session is free to release the slot.
    work.signal.throwIfAborted();
    looks += 1;
    await standby.look(source, forMs);
    if (warned || forMs < HIDDEN_WARN_MS) return;
    warned = true;
    work.log.warn(
      'the source has sent a transaction that is not visible there yet: its commit most likely waits for a synchronous standby',
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
    ({ xids }, consistentAt) =>
      inTurn(async () => {
        await plan.explained(xids);
        if (consistentAt !== null) await confirmTables(applier.client, migration, consistentAt);
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
    marks: new SnapshotMarks(plan.marks, attempt.confirmedLsn),
    lease: new LeaseEnd(options.leaseMs, performance.now()),
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
    // During a drain the application's writers wait: no throttle.
    ...(options.until === null ? { allow: (changes, open) => throttle.pass(changes, open) } : {}),
    until,
    signal: work.signal,
  };
  const loop = parts.loop ?? new StreamLoop(loopParts);
  parts.loop?.continueWith(loopParts);
  // After the loop was created: parts of a huge transaction keep their size when the limit is lifted.
  if (options.until === null) await throttle.begin();
  const numbers = (): Omit<StreamReport, 'reached' | 'consistent' | 'states'> => {
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
    await using target = new Onlooker({
      ...{ side: 'target', migration, purpose: 'apply' },
      pids: [backendPidOf(applier.client)],
    });
    await using origin = new Onlooker({
      ...{ side: 'source', migration, purpose: 'stream' },
      pids: [backendPidOf(source)],
    });
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
        // This ends all waits for lost answers, which would never end otherwise.
        cut(applier.client);
        cut(source);
      },
    });
    pulse.start();
    begun(loop);
    await runToEnd(loop, writer, plan, (failure) =>
      // If the source does not answer, keep the original failure.
      inTurn(() => plan.explain(failure)).catch(() => failure),
    );
    if (work.signal.aborted) {
      const fenced = await stopWriting(parts, loop, writer);
      if (fenced) {
        // The session was cut: the target's checkpoint decides.
        await inTurn(() => leaveSlot(parts, fenced.confirmedLsn));
        return { report: { ...numbers(), ...fenced, reached: false }, open: null };
      }
    }
  }
  work.log.info('lease ended', { ...loop.ways.summary });
  const { checkpoint } = writer;
  const { confirmedLsn, consistent } = checkpoint;
  const reached = options.until !== null && compareLsn(confirmedLsn, options.until) >= 0;
  const report = { ...numbers(), consistent, reached, ...(await inTurn(() => tableStates(parts))) };
  // After the lease in which the target becomes consistent, the workflow creates constraints that this session has not seen.
  const next = options.until === null && attempt.consistent && !work.signal.aborted;
  if (parts.mayStayOpen && next && plan.steady && !loop.failed && parts.checked()) {
    reader.confirm(confirmedLsn);
    return { report, open: { loop, attempt: { ...checkpoint, epoch: attempt.epoch } } };
  }
  await leaveSlot(parts, confirmedLsn);
  await plan.passed(confirmedLsn, reached);
  return { report, open: null };
}

/** Nothing depends on them: a pause, a drain and a target that hangs do without. */
async function tableStates({
  applier,
  migration,
  options,
  work,
}: LeaseParts): Promise<Pick<StreamReport, 'states'>> {
  if (work.signal.aborted || options.until !== null) return {};
  try {
    return { states: await within(STATES_MS, readTableStates(applier.client, migration)) };
  } catch (error) {
    work.log.warn('the states of the tables are not known', {
      code: classify(error, {}, 'Internal').code,
    });
    return {};
  }
}

/** Runs the loop. After a failure, notes are written only when the current batch has ended and no transaction is open. */
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
    // Parts of a huge transaction may be applied: its end will not arrive in this lease.
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
    `the stream makes no progress: no answer for ${seconds} s, and neither server reports an active statement of the stream`,
    { lsn, slot },
  );
}

function earlier(a: Lsn | null, b: Lsn | null): Lsn | null {
  if (a === null || b === null) return a ?? b;
  return compareLsn(a, b) < 0 ? a : b;
}
