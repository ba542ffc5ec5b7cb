/**
 * Every timeout, retry and interval of the workflow in one place, each with its reason. Worker options that belong to
 * them (heartbeat throttle, sticky timeout) stand in workers/options.ts.
 */
import { ActivityCancellationType, type ActivityOptions } from '@temporalio/workflow';

/**
 * Unset, the SDK sends TRY_CANCEL, whatever its documentation says. Only a waited-for cancellation lets a stopped stream
 * still *return* its checkpoint, and keeps cleanup from running beside live work.
 */
const COMMON = {
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} satisfies ActivityOptions;

/** Detects a dead worker: its work goes on elsewhere 9 to 13 s after the kill. Beats reach the server every 2 s. */
const HEARTBEAT_TIMEOUT = '10 seconds';

/** Longer than any copy, index build or transaction that anybody waits for; liveness is the heartbeat's job. */
const AS_LONG_AS_IT_TAKES = '30 days';

/** An outage of either database may never exhaust the attempts, and 10 s is how long a person waits after its end. */
const PATIENT_RETRY = {
  initialInterval: '1 second',
  backoffCoefficient: 2,
  maximumInterval: '10 seconds',
} as const;

/** A few statements (fence, end mark). They beat by the clock and stop doing so after two minutes: activities/work.ts. */
export const QUICK = {
  ...COMMON,
  startToCloseTimeout: '5 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: PATIENT_RETRY,
} satisfies ActivityOptions;

/** Steps that work for long or wait on a database, and beat while they get on. */
export const LONG = {
  ...COMMON,
  startToCloseTimeout: AS_LONG_AS_IT_TAKES,
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: PATIENT_RETRY,
} satisfies ActivityOptions;

/**
 * The session that holds the snapshot: every second without it is a second in which no chunk can begin, so a lost one is
 * replaced faster than other work is retried.
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
 * Cleanup must end: a source that is gone may not keep a cancelled migration open for ever. Attempts are counted instead
 * of setting scheduleToCloseTimeout, because that clock also runs while no worker is up. Twenty are about 90 s of trying.
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

/** Taking back a schema of a hundred thousand tables takes an hour, and beats as it gets on; what it did stays done. */
export const UNDO = { ...CLEANUP, startToCloseTimeout: '12 hours' } satisfies ActivityOptions;

/** The slot at the end of a cutover: the same, but the last look into it may decode hours of WAL, and beats while the source works. */
export const RELEASE = {
  ...CLEANUP,
  startToCloseTimeout: AS_LONG_AS_IT_TAKES,
} satisfies ActivityOptions;

/**
 * Tries of a cutover's step before its failure is shown: two, so that a connection lost once is not worth a word, and so
 * that a host that swallows packets (15 s a connection) is named after about 30 s.
 */
export const FIRST_TRIES = { ...PATIENT_RETRY, maximumAttempts: 2 };

/** Between two looks at a failure that goes on: about four minutes. Each costs six events of history. */
export const FURTHER_TRIES = { ...PATIENT_RETRY, maximumAttempts: 26 };

/** A visible wait is a timer with a label; it is set again when it ends, so its length only costs events (2 a month). */
export const WAIT_TIMER = '30 days';

/** Lease until the target is first consistent: foreign keys are built at its end, so it is shorter than a usual lease. */
export const CATCH_UP_LEASE_MS = 30_000;

/** Lease between two tries to build what had failed, and the lag from which on everything mended counts as arrived. */
export const REPAIR_LEASE_MS = 5_000;
export const CAUGHT_UP_BYTES = 1024 * 1024;

/** Pause after a round of the copy that finished no chunk, times the number of such rounds in a row. */
export const BARREN_PASS_PAUSE_MS = 1_000;

/**
 * So many rounds in a row without a finished chunk, and a person is asked, after about half a minute: rounds cost history
 * (15 events), and somebody rewrites the tables faster than they can be copied.
 */
export const BARREN_PASSES = 8;
