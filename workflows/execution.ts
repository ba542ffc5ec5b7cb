/**
 * One execution of the workflow: what the steps share. `state` survives continue-as-new; everything else belongs to
 * this run alone, so a run never continues as new while any of it is in use.
 */
import { log, setCurrentDetails, type CancellationScope } from '@temporalio/workflow';
import type { BareStep, Step } from '../activities/interface.ts';
import type { MigrationInput } from '../contract/input.ts';
import { UNLIMITED, type Limits, type ShownLimits } from '../contract/limits.ts';
import type { Migration } from '../contract/migration.ts';
import type {
  CutoverStep,
  IndexCounters,
  Phase,
  Progress,
  SlotWait,
  Waiting,
} from '../contract/progress.ts';
import { Deferred } from './deferred.ts';
import { renderDetails } from './details.ts';
import { ending, type Reason } from './failure.ts';
import type { Situation } from './policy.ts';
import type { State } from './state.ts';

/** A running `streamChanges` activity. */
export interface Lease {
  readonly scope: CancellationScope;
  /** Resolved when it stopped at a commit and the checkpoint is known; rejected when the checkpoint is unknown. */
  readonly stopped: Deferred<void>;
  /** Whether a caller waits for the position: a pause does, a cutover starts with an attempt that reads it anyway. */
  positionWanted: boolean;
  /** The query to a target that may be gone; cancelled when a cutover is cancelled. */
  fencing: CancellationScope | undefined;
}

/** A cutover that was requested and is not answered yet. */
export interface CutoverRequest {
  readonly compare: 'exact' | 'off';
  /** Of the call that started it; later calls join it. */
  readonly updateId: string | undefined;
  readonly answer: Deferred<string>;
  /** Everything that it runs; undefined until the last lease has ended. */
  scope: CancellationScope | undefined;
  /** Cancelled by the operator: however its step ends, the cutover is undone. */
  cancelled: boolean;
}

const NOTHING_BUILT: IndexCounters = {
  indexesBuilt: null,
  indexesTotal: null,
  tablesAnalyzed: null,
  constraintsBuilt: null,
  constraintsTotal: null,
};

const POSITION_NOTE =
  'the stream has stopped, but its position is not known yet; the position shown is that of the last checkpoint';

/** An attempt on an unreachable worker may keep applying until the target is fenced. */
const UNREPORTED: Reason = {
  code: 'Stalled',
  message: 'its last attempt ended without a report, and the target is being queried',
};

const LIMITS_NOTE =
  'new limits are not in force yet: they could not be written into the control schema on the target';

export class Execution {
  readonly migration: Migration;
  readonly input: MigrationInput;
  readonly state: State;
  waiting: Waiting | null = null;
  /** No worker has a free slot for its stream or copy. */
  slotWait: SlotWait | null = null;
  lease: Lease | undefined;
  cutover: CutoverRequest | undefined;
  /** The current step of the cutover. */
  cutoverStep: CutoverStep | null = null;
  aborting = false;
  /** The outcome is decided; slot and control schema are being removed. */
  ending = false;
  /** The pending query for the target's position; cancelled when the pause ends. */
  asking: CancellationScope | undefined;
  /** What became of the slot at the end of a cutover; unset before. */
  slot: { readonly kept: Reason | null } | undefined;
  /** Limits are being written into the control schema; resolves with the result of the first tries. */
  storing:
    { readonly scope: CancellationScope; readonly first: Deferred<Reason | null> } | undefined;
  /** The copy checks again how many streams it may run. */
  limitsChanged = new Deferred<void>();
  /** The answer of an abort: how the migration ended, in one sentence. */
  readonly ended = new Deferred<string>();

  constructor(migration: Migration, input: MigrationInput, state: State) {
    this.migration = migration;
    this.input = input;
    this.state = state;
    // Current Details start empty in every run of a continue-as-new chain.
    this.show();
  }

  /** Input of activities that need nothing else. */
  get bare(): BareStep {
    return { migration: this.migration };
  }

  /** Input of activities that read tables, or need a setting. */
  get step(): Step {
    return { migration: this.migration, input: this.input };
  }

  /** Why the position of a paused stream is only that of the last checkpoint. Null: the position is known. */
  get unsure(): Reason | null {
    return this.state.unsure ?? null;
  }

  set unsure(reason: Reason | null) {
    this.state.unsure = reason;
  }

  /** Whether the last attempt to stream or drain ended without a report and was not fenced off since. */
  get unreported(): boolean {
    return this.state.unreported ?? false;
  }

  set unreported(unreported: boolean) {
    this.state.unreported = unreported;
  }

  /** Why changed limits could not be written so far; null: they are written, or it was not tried. */
  get unstored(): Reason | null {
    return this.state.unstored ?? null;
  }

  set unstored(reason: Reason | null) {
    this.state.unstored = reason;
  }

  get situation(): Situation {
    if (this.ending) return 'ending';
    if (this.waiting) return 'waiting';
    return this.state.paused ? 'paused' : 'running';
  }

  /** In force, or about to be. */
  get limits(): Limits {
    return this.state.limits?.values ?? { ...UNLIMITED, ...this.input.limits };
  }

  get shownLimits(): ShownLimits {
    const { guard, ...others } = this.limits;
    return this.input.guard === undefined ? others : { ...others, guard };
  }

  /** Before it the target holds no rows: an error ends the migration and everything is undone. */
  get hasRows(): boolean {
    return this.state.startedAt.snapshot !== undefined;
  }

  enter(phase: Phase): void {
    if (this.state.phase !== phase) log.info('phase', { from: this.state.phase, to: phase });
    this.state.phase = phase;
    this.slotWait = null;
    // An undone cutover and the stream after it keep their first start time.
    this.state.startedAt[phase] ??= new Date().toISOString();
    this.show();
  }

  /** Counters of what is built after the rows, as far as a step reported them. */
  noteIndexes(counters: Partial<IndexCounters>): void {
    this.state.indexes = { ...NOTHING_BUILT, ...this.state.indexes, ...counters };
  }

  /** Records that the numbers of the state are current, and shows them. */
  refresh(): void {
    this.state.asOf = new Date().toISOString();
    this.show();
  }

  show(): void {
    setCurrentDetails(renderDetails(this.migration.workflowId, this.progress(), this.situation));
  }

  /** The pause is over, so its position is no longer needed. */
  endPause(): void {
    this.state.paused = false;
    this.unsure = null;
    this.asking?.cancel();
  }

  /** To be called when the stream has stopped for a pause: a position that no attempt reported is not shown as known. */
  notePause(): void {
    if (!this.state.paused || !this.unreported || this.lease) return;
    this.unsure ??= UNREPORTED;
    this.show();
  }

  /** Answers the caller of a cutover with the reason and returns to the stream. */
  undoCutover(reason: Reason, what: string): void {
    if (!this.cutover) return;
    const text = what === '' ? reason.message : `${what}: ${reason.message}`;
    this.cutover.answer.refuse(ending(reason.code, text));
    this.cutover = undefined;
    this.cutoverStep = null;
    this.enter('stream');
  }

  /**
   * Cancels the cutover: as if it had not been requested, with the stream paused. Waits only for its own end, which no
   * database can delay.
   */
  cancelCutover(where: string): void {
    this.state.paused = true;
    this.notePause();
    const message = `cutover cancelled by the operator ${where}; undone: the slot is kept, the stream is paused at ${this.state.confirmedLsn}${this.unreported ? ' or later' : ''}, ${
      this.state.triggersEnabled
        ? 'triggers that were enabled on the target are disabled again before the next change'
        : 'no trigger was enabled on the target'
    }; resume continues streaming, a later cutover starts over`;
    this.undoCutover({ code: 'Cancelled', message }, '');
  }

  progress(): Progress {
    const { phase, startedAt, asOf, notes, confirmedLsn, snapshot, indexes, stream } = this.state;
    const { situation } = this;
    return {
      phase,
      state: situation === 'ending' ? 'running' : situation,
      waiting: this.waiting,
      slotWait: this.slotWait,
      cutover: this.cutoverStep,
      source: this.migration.source,
      target: this.migration.target,
      slot: this.migration.slot,
      confirmedLsn,
      snapshot,
      ...(indexes ? { indexes } : {}),
      stream,
      limits: this.shownLimits,
      ...(this.state.guard === undefined ? {} : { guard: this.state.guard }),
      startedAt: { ...startedAt },
      asOf,
      notes: [
        ...notes,
        ...(this.unsure === null ? [] : [`${POSITION_NOTE}: ${this.unsure.message}`]),
        ...(this.unstored === null ? [] : [`${LIMITS_NOTE}: ${this.unstored.message}`]),
      ],
    };
  }
}
