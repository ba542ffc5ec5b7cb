/** What the `progress` query answers, for the CLI, the Web UI, `npm run watch` and scripts. */
import type { FailureCode } from './failure.ts';
import type { Lsn } from './lsn.ts';

/** In their order; the last three are ends. */
export const PHASES = [
  'preflight',
  'schema',
  'snapshot',
  'indexes',
  'stream',
  'cutover',
  'done',
  'failed',
  'aborted',
] as const;
export type Phase = (typeof PHASES)[number];

export type RunState = 'running' | 'paused' | 'waiting';

/** Why a migration waits for its operator. */
export interface Waiting {
  /** The step that runs again at `resume`. */
  readonly step: string;
  readonly code: FailureCode;
  readonly reason: string;
  readonly action: string;
}

/** The step of a cutover that is under way, and what keeps it from getting on. */
export interface CutoverStep {
  readonly step: string;
  /** When it began, ISO 8601, in workflow time. */
  readonly since: string;
  /** Set while its tries fail for something that may pass by itself; it goes on trying. */
  readonly failing: {
    readonly code: FailureCode;
    readonly reason: string;
    readonly action: string;
    /** When the first and the newest failure became known here, ISO 8601. */
    readonly since: string;
    readonly seen: string;
  } | null;
}

export interface SnapshotCounters {
  readonly generation: number;
  readonly tables: number;
  readonly chunksDone: number;
  readonly chunksTotal: number;
  readonly rows: number;
  readonly bytes: number;
  readonly estimatedRows: number;
  readonly estimatedBytes: number;
}

export interface StreamCounters {
  readonly transactions: number;
  readonly changes: number;
  readonly lagBytes: number;
  readonly lagSeconds: number;
  readonly rate: number;
  readonly leases: number;
}

export interface Progress {
  readonly phase: Phase;
  readonly state: RunState;
  readonly waiting: Waiting | null;
  /** Only in phase `cutover`. */
  readonly cutover?: CutoverStep | null;
  readonly source: string;
  readonly target: string;
  readonly slot: string;
  /** Floor: everything committed before it is on the target. Live numbers are in the heartbeats. */
  readonly confirmedLsn: Lsn | null;
  readonly snapshot: SnapshotCounters | null;
  readonly stream: StreamCounters | null;
  /** When each phase began, ISO 8601, in workflow time. */
  readonly startedAt: Readonly<Partial<Record<Phase, string>>>;
  /** When the numbers were last true, ISO 8601: the workflow learns them from activities that ended. */
  readonly asOf?: string;
  /** Warnings of preflight, and what goes wrong beside work that goes on. */
  readonly notes?: readonly string[];
}
