/** Worker options with their reasons. Those of activities stand in workflows/options.ts. */

/** Where migrations are started: `temporal workflow start --task-queue walferry`. */
export const TASK_QUEUE = 'walferry';

/**
 * Every open migration holds one slot for good (its stream or its snapshot), beside those of its copies: fewer slots than
 * migrations plus lanes would stall silently.
 */
export const MAX_ACTIVITIES = 64;

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
