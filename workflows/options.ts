/**
 * Every timeout, retry and interval of the workflow in one place, each with its reason. The worker options that belong
 * to them (heartbeat throttle, sticky timeout) are in workers/options.ts.
 */
import { ActivityCancellationType, type ActivityOptions } from '@temporalio/workflow';

/**
 * The SDK's default is TRY_CANCEL, contrary to its documentation. Only a cancellation that is waited for lets a stopped
 * stream still *return* its checkpoint, and keeps cleanup from running alongside live work.
 */
const COMMON = {
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} satisfies ActivityOptions;

/** Detects a dead worker: its work continues elsewhere 9 to 13 s after the kill. Heartbeats reach the server every 2 s. */
const HEARTBEAT_TIMEOUT = '10 seconds';

/** Longer than any useful copy, index build or transaction; liveness is the heartbeat's job. */
const AS_LONG_AS_IT_TAKES = '30 days';

/** No outage of a database may exhaust the attempts, and 10 s is how long a person waits after its end. */
const ENDLESS_RETRY = {
  initialInterval: '1 second',
  backoffCoefficient: 2,
  maximumInterval: '10 seconds',
} as const;

/** A few statements (fence, end mark). They send heartbeats by the clock, for two minutes at most: activities/work.ts. */
export const QUICK = {
  ...COMMON,
  startToCloseTimeout: '5 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: ENDLESS_RETRY,
} satisfies ActivityOptions;

/**
 * Beside a lease: the stream depends in no way on it. Tried once, and the end of the lease does not wait for it; so it has no id,
 * which the next one could not have while the server still knows it. Reads only.
 */
export const BESIDE = {
  ...QUICK,
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  startToCloseTimeout: '2 minutes',
  retry: { maximumAttempts: 1 },
} satisfies ActivityOptions;

/** Steps that take long or wait for a database, and send a heartbeat when they make progress. */
export const LONG = {
  ...COMMON,
  startToCloseTimeout: AS_LONG_AS_IT_TAKES,
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: ENDLESS_RETRY,
} satisfies ActivityOptions;

/**
 * The snapshot owner: every second without it is a second in which no chunk can begin, so a lost one is replaced faster
 * than other work is retried.
 */
export const SNAPSHOT_OWNER = {
  ...LONG,
  retry: {
    initialInterval: '500 milliseconds',
    backoffCoefficient: 1.5,
    maximumInterval: '5 seconds',
  },
} satisfies ActivityOptions;

/**
 * Cleanup must end: a source that is gone may not keep a cancelled migration open forever. Attempts are counted instead of
 * setting scheduleToCloseTimeout, because that clock also runs while no worker is up. Twenty attempts take about 90 s.
 */
export const CLEANUP = {
  ...COMMON,
  startToCloseTimeout: '1 minute',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: {
    initialInterval: '1 second',
    backoffCoefficient: 2,
    maximumInterval: '5 seconds',
    maximumAttempts: 20,
  },
} satisfies ActivityOptions;

/**
 * Undoing a schema of a hundred thousand tables takes an hour, with heartbeats on progress; a retry continues where it stopped.
 */
export const UNDO = { ...CLEANUP, startToCloseTimeout: '12 hours' } satisfies ActivityOptions;

/**
 * The slot at the end of a cutover: the same, but the last check may decode hours of WAL, with heartbeats while the
 * source works.
 */
export const RELEASE = {
  ...CLEANUP,
  startToCloseTimeout: AS_LONG_AS_IT_TAKES,
} satisfies ActivityOptions;

/**
 * Steps while writes are stopped: the general timeout would eat a third of the box after one kill. Heartbeats reach the server every
 * 2 s. How long a step may take is the box's decision.
 */
export const BOXED = {
  ...COMMON,
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '3 seconds',
  retry: {
    initialInterval: '200 milliseconds',
    backoffCoefficient: 1.5,
    maximumInterval: '1 second',
  },
} satisfies ActivityOptions;

/** The same for steps that send heartbeats on progress, with a database in between. */
export const BOXED_DRAIN = { ...BOXED, heartbeatTimeout: '5 seconds' } satisfies ActivityOptions;

/** Tries of an undo before what keeps it from deciding is shown: a few seconds. */
const UNDOING = {
  ...BOXED,
  retry: { ...BOXED.retry, maximumAttempts: 8 },
} satisfies ActivityOptions;

/** Rounds of tries that are shown one by one, and the pause after them: half a minute. */
const SHOWN_ROUNDS = 5;
const PAUSE_MS = 2_000;
/** Between failures that are not tried again by themselves, after the first rounds. */
const LONG_PAUSE_MS = 60_000;

/**
 * An undo goes on for ever. A round costs eleven events, and the server ends a workflow at 51,200: so later rounds try every second
 * for four minutes, and a failure that ends a round at once is met every minute.
 * @param rounds that have failed.
 */
export function undoing(rounds: number): typeof UNDOING {
  if (rounds < SHOWN_ROUNDS) return UNDOING;
  return { ...UNDOING, retry: { ...UNDOING.retry, maximumAttempts: 240 } };
}

/** Milliseconds between two rounds. @param tookMs how long the last one has tried. */
export function undoPauseMs(rounds: number, tookMs: number): number {
  return rounds < SHOWN_ROUNDS || tookMs >= LONG_PAUSE_MS ? PAUSE_MS : LONG_PAUSE_MS;
}

/**
 * Tries of a cutover's step before its failure is shown: two, so that a connection lost once is not shown, and a host
 * that swallows packets (15 s per connection) is named after about 30 s.
 */
export const FIRST_TRIES = { ...ENDLESS_RETRY, maximumAttempts: 2 };

/** Between two updates of a failure that persists: about four minutes. Each costs six events of history. */
export const FURTHER_TRIES = { ...ENDLESS_RETRY, maximumAttempts: 26 };

/** A visible wait is a timer with a label; it is set again when it fires, so its length only costs events (2 a month). */
export const WAIT_TIMER = '30 days';

/**
 * Lease until the target is consistent and every table has caught up: foreign keys are built at its end and the tables' states
 * reported, so it is shorter than a usual lease.
 */
export const CATCH_UP_LEASE_MS = 30_000;

/** Lease between two tries of a failed build, and the lag below which fixed rows count as arrived. */
export const REPAIR_LEASE_MS = 5_000;
export const CAUGHT_UP_BYTES = 1024 * 1024;

/** Pause after a pass that finished no chunk, times the number of such passes in a row. */
export const EMPTY_PASS_PAUSE_MS = 1_000;

/**
 * After so many passes in a row without a finished chunk, about half a minute, the operator is asked: a pass costs
 * history (15 events), and the tables are being rewritten faster than they can be copied.
 */
export const MAX_EMPTY_PASSES = 8;

/**
 * The owner of an anchor, and the steps of a verification that are not held up by one. The attempts are counted, a few seconds
 * in total: after them the reason is shown, and the verification tries again later instead of holding back vacuum.
 */
export const ANCHOR_OWNER = {
  ...LONG,
  retry: { ...SNAPSHOT_OWNER.retry, maximumAttempts: 4 },
} satisfies ActivityOptions;
export const VERIFYING = {
  ...LONG,
  retry: { ...ENDLESS_RETRY, maximumAttempts: 4 },
} satisfies ActivityOptions;

/** Pause before a verification that could not proceed tries again: doubled each time, because each try costs twenty events. */
export const FIRST_VERIFY_PAUSE_MS = 10_000;
export const LONGEST_VERIFY_PAUSE_MS = 300_000;

/** Least pause between two verifications of `continuous`, and after one that ended without a report. */
export const BETWEEN_VERIFICATIONS_MS = 600_000;
export const AFTER_FAILURE_MS = 600_000;

/** Between two comparisons of definitions while changes are streamed: they read the whole catalogs of both sides. */
export const BETWEEN_COMPARISONS_MS = 3_600_000;
export const BETWEEN_DIFFERENCES_MS = 600_000;

/** Between two measurements of readiness: each costs twelve events of the history. */
export const BETWEEN_MEASUREMENTS_MS = 120_000;
/** After the beginning of a lease: until then the stream checks its tables, and the application would see the lag. */
export const LEASE_SETTLES_MS = 2_000;
