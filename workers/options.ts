/** Worker options with their reasons. Those of activities are in workflows/options.ts. */

/** Where migrations are started: `temporal workflow start --task-queue walferry`. */
export const TASK_QUEUE = 'walferry';

/**
 * Open migrations of one worker: each occupies one place permanently, with its stream or its snapshot. When idle, so many use
 * about half of the one thread that runs JavaScript (docs/explanation/performance.md). Further ones wait and report it: activities/worker-capacity.ts.
 */
export const MAX_MIGRATIONS = 250;

/** Concurrent copies of all migrations together: each has two sessions and moves rows as fast as it can. */
export const MAX_COPIES = 64;

/**
 * Slots of the SDK, which are free of cost while unused; they must never be what is missing. An activity without a slot
 * waits on the server, where nothing can report the wait.
 */
export const ACTIVITY_SLOTS = 10_000;

/**
 * Open polls of each kind. The server also hands tasks to the polls of a frozen machine, and each costs a heartbeat timeout
 * until it is retried elsewhere: with the default of ten polls a frozen worker delayed a stream by 75 s, with one by 25 s at
 * most. One poll fetches a few hundred activities fast enough; workflow tasks need at least two, one of them for the sticky
 * queue. SDK 1.24.0 accepts `maxConcurrentActivityTaskPolls` and ignores it (its worker-options.js never reads it).
 */
export const ACTIVITY_POLLS = { type: 'simple-maximum', maximum: 1 } as const;
export const WORKFLOW_POLLS = { type: 'simple-maximum', maximum: 2 } as const;

/** Heartbeats reach the server this often: how fast a pause arrives, and how fresh the live numbers are. */
export const HEARTBEAT_THROTTLE = '2 seconds';

/** How long a dead worker's sticky queue delays the next workflow task: 10 s, the default, made pause + kill take 19 s. */
export const STICKY_TIMEOUT = '3 seconds';

/** Without it `run()` can hang forever after a fatal error, with activities that never end. */
export const SHUTDOWN_FORCE = '30 seconds';

/** First and longest pause between attempts to reach the Temporal server. */
export const CONNECT_FIRST_MS = 500;
export const CONNECT_LONGEST_MS = 5_000;

/**
 * Passed to Node when a worker is started: half of the main thread's young generation, MiB. V8 reads it at its start
 * only, so workers/heap.ts cannot set it; without it a worker takes some 30 MiB more and is no faster.
 */
export const YOUNG_FLAG = '--max-semi-space-size=4';
