/** Worker options with their reasons. Those of activities stand in workflows/options.ts. */

/** Where migrations are started: `temporal workflow start --task-queue walferry`. */
export const TASK_QUEUE = 'walferry';

/**
 * Open migrations of one worker: each occupies one place for good, with its stream or its snapshot. Idle, so many take about half of the
 * one thread that runs JavaScript (docs/performance.md). More of them wait and say so: activities/room.ts.
 */
export const MAX_MIGRATIONS = 250;

/** Copies at the same time, of all migrations together: each has two sessions and moves rows as fast as it can. */
export const MAX_COPIES = 64;

/**
 * Slots of the SDK, which cost nothing while they are free: never the ones that are missing. An activity without one waits on
 * the server, and no one can say so.
 */
export const ACTIVITY_SLOTS = 10_000;

/**
 * Open polls of each kind. The server hands tasks to the polls of a frozen machine as well, and each costs a heartbeat
 * timeout until it is tried elsewhere: with the default of ten polls a frozen worker held a stream up for 75 s, with one it is
 * 25 s at most. One fetches a few hundred activities fast enough; the least for workflow tasks is two, one of them for the
 * sticky queue. SDK 1.24.0 takes `maxConcurrentActivityTaskPolls` and ignores it (its worker-options.js never reads it).
 */
export const ACTIVITY_POLLS = { type: 'simple-maximum', maximum: 1 } as const;
export const WORKFLOW_POLLS = { type: 'simple-maximum', maximum: 2 } as const;

/** Heartbeats reach the server this often: how fast a pause arrives, and how fresh the live numbers are. */
export const HEARTBEAT_THROTTLE = '2 seconds';

/** How long a dead worker's sticky queue delays the next workflow task: 10 s, the default, made pause + kill take 19 s. */
export const STICKY_TIMEOUT = '3 seconds';

/** Without it `run()` can hang for ever after a fatal error, with activities that never end. */
export const SHUTDOWN_FORCE = '30 seconds';

/** First and longest pause between attempts to reach the Temporal server. */
export const CONNECT_FIRST_MS = 500;
export const CONNECT_LONGEST_MS = 5_000;

/**
 * Given to Node by whoever starts a worker: half of the main thread's young generation, MiB. V8 takes it at its start only, so
 * workers/heap.ts cannot set it; without it a worker takes some 30 MiB more, and is no faster.
 */
export const YOUNG_FLAG = '--max-semi-space-size=4';
