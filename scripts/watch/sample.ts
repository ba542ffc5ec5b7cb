/** One sample of a migration, as the server reported it. Plain data, so that the model can be tested without a server. */
import type { Progress } from '../../contract/progress.ts';

export type Numbers = Readonly<Record<string, unknown>>;

/** A running activity, with its last heartbeat. */
export interface LiveActivity {
  readonly type: string;
  readonly attempt: number;
  /** Identity of its worker, `pid@host`; of the last one while it waits for the next attempt. */
  readonly worker: string | undefined;
  readonly heartbeat: Numbers;
  /** Whether this attempt sent the heartbeat; the server keeps the last one of an attempt whose worker died. */
  readonly live: boolean;
  /** When the heartbeat was sent, ISO 8601, by the server's clock; undefined when there was none yet. */
  readonly heardAt: string | undefined;
  /** Why the previous attempt ended, when there was one. */
  readonly failure: string | undefined;
}

export type RunStatus =
  | 'RUNNING'
  | 'COMPLETED'
  | 'FAILED'
  | 'CANCELLED'
  | 'TERMINATED'
  | 'TIMED_OUT'
  | 'CONTINUED_AS_NEW'
  | 'PAUSED'
  | 'UNSPECIFIED'
  | 'UNKNOWN';

const CLOSED: ReadonlySet<RunStatus> = new Set<RunStatus>([
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TERMINATED',
  'TIMED_OUT',
  'CONTINUED_AS_NEW',
]);

/**
 * Whether this run may still do something. Everything but an end counts as open: cleanup drops the slot of a run that is not,
 * and a run that is paused in Temporal continues later. In a chain, the run after a `CONTINUED_AS_NEW` is another one.
 */
export function isOpen(status: RunStatus): boolean {
  return !CLOSED.has(status);
}

export interface Sample {
  /** Milliseconds of any monotonic clock. */
  readonly at: number;
  readonly status: RunStatus;
  /** The newest answer of the query; none yet when no worker answered. */
  readonly progress: Progress | undefined;
  readonly activities: readonly LiveActivity[];
  /** What keeps the numbers from being current: no worker, no server. */
  readonly trouble: string | undefined;
}
