/** One look at a migration, as the server told it. Plain data, so that the model can be tested without a server. */
import type { Progress } from '../../contract/progress.ts';

export type Numbers = Readonly<Record<string, unknown>>;

/** An activity that is at work, with what its last heartbeat said. */
export interface LiveActivity {
  readonly type: string;
  readonly attempt: number;
  /** Identity of the worker that has it, `pid@host`; of the last one while it waits for the next attempt. */
  readonly worker: string | undefined;
  readonly heartbeat: Numbers;
  /** Whether this attempt said it; the server keeps the last words of an attempt whose worker died. */
  readonly live: boolean;
  /** When it was said, ISO 8601, by the server's clock; undefined when nothing was said yet. */
  readonly heardAt: string | undefined;
  /** Why the attempt before this one ended, when there was one. */
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
 * Whether this run may still do something. Everything but an end counts as open: cleanup drops the slot of a run that is not, and a
 * run that is paused in Temporal goes on later. Of a chain, the run after a `CONTINUED_AS_NEW` is another one.
 */
export function isOpen(status: RunStatus): boolean {
  return !CLOSED.has(status);
}

export interface Sample {
  /** Milliseconds of any clock that only goes forward. */
  readonly at: number;
  readonly status: RunStatus;
  /** The newest answer of the query; none yet when no worker answered. */
  readonly progress: Progress | undefined;
  readonly activities: readonly LiveActivity[];
  /** What keeps the numbers from being fresh: no worker, no server. */
  readonly trouble: string | undefined;
}
