/**
 * What a migration remembers across continue-as-new: small, flat, versioned. The truth about rows, chunks and LSN lies in
 * the control schema on the target; this is the workflow's copy of it, and a floor that may lag.
 */
import type { Lsn } from '../contract/lsn.ts';
import type { Phase, SnapshotCounters, StreamCounters } from '../contract/progress.ts';
import type { LeftOut } from '../contract/work.ts';

const VERSION = 1;

export interface State {
  readonly version: typeof VERSION;
  phase: Phase;
  /** ISO 8601, workflow time. */
  startedAt: Partial<Record<Phase, string>>;
  asOf: string;
  notes: readonly string[];
  paused: boolean;
  confirmedLsn: Lsn | null;
  snapshot: SnapshotCounters | null;
  stream: StreamCounters | null;
  /** Generation of the first copied run, and whether a later one was needed: then first consistent is a matter of the stream. */
  firstGeneration: number | null;
  firstConsistent: boolean;
  /** Foreign keys and triggers are on the target. Never before it is first consistent. */
  constraintsBuilt: boolean;
  /**
   * A cutover that did not come to its end may have enabled the triggers: they have to be quiet before the next change is
   * applied. Unset in what earlier versions carried.
   */
  triggersLoud?: boolean;
  /** What a cleanup has to look for; set before the step that makes it, because that one's answer may be lost. */
  schemaBegun: boolean;
  slotBegun: boolean;
  /** Objects that the target will not have, for the closing summary. Absent in states of earlier code. */
  leftOut?: LeftOut;
  /** Materialized views that the operator took out, for the same. Unset before the first refresh. */
  skippedViews?: readonly string[];
}

/** A migration that did nothing yet. */
export function initialState(now: Date): State {
  return {
    version: VERSION,
    phase: 'preflight',
    startedAt: { preflight: now.toISOString() },
    asOf: now.toISOString(),
    notes: [],
    paused: false,
    confirmedLsn: null,
    snapshot: null,
    stream: null,
    firstGeneration: null,
    firstConsistent: false,
    constraintsBuilt: false,
    schemaBegun: false,
    slotBegun: false,
  };
}

/**
 * The state that the previous run of the workflow handed on.
 * @throws Error for a version that this code does not know: the workflow task is then tried again until a worker with the
 *   right code takes it, whereas a failure would end a migration because of one old worker.
 */
export function carriedState(carried: unknown): State {
  if (isState(carried)) return { ...carried };
  throw new Error(`this worker knows state version ${VERSION} only; update it`);
}

function isState(value: unknown): value is State {
  return (
    typeof value === 'object' && value !== null && 'version' in value && value.version === VERSION
  );
}
