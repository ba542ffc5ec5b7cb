/**
 * What a report says, as data: `--format json` prints it, the other formats show it. Fields that a version of walferry does not
 * store yet, or did not store then, are absent.
 */
import type { Approval } from '../../contract/approval.ts';
import type { Phase } from '../../contract/progress.ts';
import type { CutoverRecord, LagSample, StopRecord } from '../../contract/record.ts';
import type { CutoverWindow } from '../../contract/window.ts';

export type Status =
  'running' | 'done' | 'failed' | 'aborted' | 'cancelled' | 'terminated' | 'timed out';

export interface PhaseTime {
  readonly phase: Phase;
  readonly from: string;
  /** Until the next phase, or the end; null: it is the current one. */
  readonly to: string | null;
  /** Until now for the current one. */
  readonly seconds: number;
}

export interface Moved {
  readonly tables: number;
  readonly copiedRows: number;
  readonly copiedBytes: number;
  readonly transactions: number;
  readonly changes: number;
  /** Counted on both sides at the cutover; null: not compared, or not yet. */
  readonly rows: number | null;
  readonly sequences: number | null;
}

/** Something that went wrong and was survived, as far as histories show it. */
export interface Fault {
  readonly at: string;
  readonly step: string;
  /** Attempts that the step took. */
  readonly attempts: number;
  readonly what: 'worker lost' | 'worker shut down' | 'retried' | 'failed';
  readonly reason: string;
}

/** A verification. Lax: what another version adds is dropped. */
export interface VerificationShown {
  readonly result: string;
  readonly at: string;
  readonly seconds?: number;
  readonly tables?: number;
  readonly rows?: number;
  readonly bytes?: number;
  readonly lsn?: string;
  /** Columns and tables that could not be compared, with the reason. */
  readonly notCompared?: readonly string[];
  readonly differing?: readonly { readonly table: string; readonly keys: number }[];
}

/** Something walferry made or changed on a server, and what became of it. */
export interface Change {
  readonly what: string;
  readonly made: string | null;
  /** Removed or restored; null: not yet, or it could not be. */
  readonly undone: string | null;
  /** SQL that restores it exactly, for settings and rights. */
  readonly undo?: string;
}

export interface Request {
  readonly at: string;
  readonly name: string;
  /** Null while it is not answered. */
  readonly answer: string | null;
}

export interface Report {
  readonly workflowId: string;
  /** Of the first run of the workflow: the identity of the migration. */
  readonly runId: string;
  readonly status: Status;
  /** One sentence. */
  readonly summary: string;
  readonly source: string;
  readonly target: string;
  readonly began: string;
  readonly ended: string | null;
  readonly seconds: number;
  /** Runs of the workflow whose history was read, and whether those are all. */
  readonly histories: { readonly read: number; readonly complete: boolean };
  readonly moved: Moved | null;
  readonly phases: readonly PhaseTime[];
  /** For how long no side took writes, as the cutover measured it; absent when it did not. */
  readonly downtimeSeconds?: number;
  readonly cutovers: readonly (CutoverRecord & { readonly seconds: number | null })[];
  readonly lag: readonly LagSample[];
  readonly faults: {
    readonly retries: number;
    /** Attempts whose worker stopped answering: killed, frozen or cut off. */
    readonly lost: number;
    /** Workers that took part. */
    readonly workers: number;
    readonly list: readonly Fault[];
    readonly more: number;
  };
  readonly stops: readonly StopRecord[];
  readonly resyncs: number;
  readonly verifications: readonly VerificationShown[];
  readonly window?: CutoverWindow;
  readonly approvals: readonly Approval[];
  /** Findings of preflight that did not refuse, what `ignore` names, and what a cutover accepted. */
  readonly accepted: readonly string[];
  readonly requests: readonly Request[];
  readonly changes: readonly Change[];
  readonly leftOut: readonly string[];
  /** Null: not known. */
  readonly leftBehind: readonly string[] | null;
}
