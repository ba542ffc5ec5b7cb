/**
 * One lease after everything is open: runs the loop, sends its heartbeats, and ends it so that the next lease finds the slot
 * free and the source has the confirmed LSN.
 */
import { turns } from './session-queue.ts';
import { within } from '../replication/deadline.ts';
import { classify } from '../connection/failure.ts';
import { leaveSlot } from './lease-release.ts';
import { constants } from 'node:buffer';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { Heartbeat, StreamReport } from '../../contract/work.ts';
import { nameOf } from '../catalog/table-name.ts';
import { cut } from '../connection/connect.ts';
import { readTableStates } from '../store/table-report.ts';
import { backendPidOf } from '../connection/socket.ts';
import { ApplyThrottle } from '../throttle/apply-throttle.ts';
import { stopWriting } from './lease-abort.ts';
import { LeaseEnd } from './lease-end.ts';
import { StreamLoop } from './loop.ts';
import type { LoopParts } from './loop-parts.ts';
import { SnapshotMarks } from './snapshot-mark.ts';
import { Meter } from './meter.ts';
import { Onlooker } from '../session/onlooker.ts';
import type { StreamPlan } from './stream-plan.ts';
import { Pulse } from './pulse.ts';
import type { TargetWriter } from './target-writer.ts';
import { AnchorFilter } from './anchor-filter.ts';
import { BarrierRecord } from './barrier-record.ts';
import type { EndedLease, LeaseParts } from './lease-parts.ts';
import { leaseWriter } from './lease-writer.ts';
import { refuseAnchor, Standing } from './standing.ts';

/** Size of one batch or part: limits the memory for wide rows. */
const BATCH_BYTES = 4 * 1024 * 1024;
const POSITION_MS = 5_000;
const POSITION_BYTES = 16 * 1024 * 1024;
/** With 100,000 tables it takes some tenths of a second. */
const STATES_MS = 5_000;

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
  if (parts.barrier !== null) parts.pace.tried(parts.barrier.lsn);
  const filter = new AnchorFilter(parts.barrier);
  const barriers = new BarrierRecord(applier.client, migration, parts.barrier);
  const { writer, looks } = leaseWriter(parts, barriers, inTurn);
  const until = plan.stopsAtMark ? earlier(options.until, plan.mark) : options.until;
  // A lease that ends soon for another reason does not stand; a later one finds the request.
  using standing =
    until === null
      ? await Standing.listen({
          ...{ migration, epoch: attempt.epoch, target: applier.client, signal: work.signal },
          ...{ pace: parts.pace, log: work.log, leaves: () => filter.leaves },
          onSource: (task) => inTurn(() => task(source)),
          wake: () => reader.nudge(),
        })
      : null;
  if (options.until !== null) await refuseAnchor(applier.client, migration);
  const lease = new LeaseEnd(options.leaseMs, performance.now());
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
    lease,
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
    filter,
    anchorWanted: () => {
      const { consistent, confirmedLsn } = writer.checkpoint;
      return consistent && standing?.wantedAt(confirmedLsn) === true;
    },
    until,
    signal: work.signal,
  };
  const loop = parts.loop ?? new StreamLoop(loopParts);
  parts.loop?.continueWith(loopParts);
  // After the loop was created: parts of a huge transaction keep their size when the limit is lifted.
  if (options.until === null) await throttle.begin();
  const waits = (): number => looks() + throttle.looks + (standing?.looks ?? 0);
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
  let again = false;
  const run = async (): Promise<void> => {
    for (;;) {
      await loop.run();
      if (work.signal.aborted || lease.over(performance.now())) return;
      if (standing === null || !loopParts.anchorWanted?.()) return;
      again = await standing.stand(loop, writer.checkpoint.confirmedLsn);
      if (again) return;
    }
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
        moved: loop.progress + reader.heard + waits(),
        done: loop.done + waits(),
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
    await runToEnd({ run, loop, writer, plan }, (failure) =>
      // If the source does not answer, keep the original failure.
      inTurn(() => plan.explain(failure)).catch(() => failure),
    );
    if (work.signal.aborted) {
      const fenced = await stopWriting(parts, loop, writer);
      if (fenced) {
        // The session was cut: the target's checkpoint decides.
        await inTurn(() => leaveSlot(parts, fenced.confirmedLsn));
        const report = { ...numbers(), ...fenced, reached: false };
        return { report, open: null, again: false };
      }
    }
  }
  work.log.info('lease ended', { ...loop.ways.summary });
  const { checkpoint } = writer;
  const { confirmedLsn, consistent } = checkpoint;
  const reached = options.until !== null && compareLsn(confirmedLsn, options.until) >= 0;
  const report = { ...numbers(), consistent, reached, ...(await inTurn(() => tableStates(parts))) };
  // After the lease in which the target becomes consistent, the workflow creates constraints that this session has not seen.
  const next = options.until === null && attempt.consistent && !work.signal.aborted && !again;
  if (parts.mayStayOpen && next && plan.steady && !loop.failed && parts.checked()) {
    reader.confirm(confirmedLsn);
    const { inForce: barrier } = barriers;
    const open = { loop, attempt: { ...checkpoint, epoch: attempt.epoch }, barrier };
    return { report, open, again };
  }
  await leaveSlot(parts, confirmedLsn);
  await plan.passed(confirmedLsn, reached);
  return { report, open: null, again };
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
  {
    run,
    loop,
    writer,
    plan,
  }: {
    readonly run: () => Promise<void>;
    readonly loop: StreamLoop;
    readonly writer: TargetWriter;
    readonly plan: StreamPlan;
  },
  explain: (failure: unknown) => Promise<unknown>,
): Promise<void> {
  try {
    await run();
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
