/**
 * One execution of the workflow: what the steps share. `state` survives continue-as-new and changes only by
 * {@link Execution.tell}; everything else are handles of what this run awaits, so a run is never continued while one is in use.
 */
import {
  log,
  setCurrentDetails,
  type ApplicationFailure,
  type CancellationScope,
} from '@temporalio/workflow';
import type { BareStep, Step } from '../activities/step.ts';
import type { MigrationInput } from '../contract/input-schema.ts';
import { UNLIMITED, type Limits, type ShownLimits } from '../contract/limits.ts';
import type { Migration } from '../contract/migration.ts';
import type { Progress, Waiting } from '../contract/progress.ts';
import { orderOf, type CutoverOrder } from '../contract/cutover-request.ts';
import { NO_COURSE, type MigrationRecord } from '../contract/record.ts';
import { reverseOf } from '../contract/reversed.ts';
import { Deferred } from './deferred.ts';
import { cancelledText, directionOf } from './direction.ts';
import { shownApproval } from './approved.ts';
import { renderDetails } from './details.ts';
import { ending } from './failure.ts';
import { shownKept } from './kept.ts';
import { progressNotes } from './progress-notes.ts';
import type { Event } from './state/event.ts';
import { readinessOf } from './state/judged.ts';
import type { Reason } from './state/reason.ts';
import { STAGES, type At } from './state/stage.ts';
import type { State } from './state/state.ts';
import { transition } from './state/transition.ts';
import { verificationOf } from './state/verification-fact.ts';
import type { WayBackEnd } from './way-back-end.ts';
import { interruptedText } from './verification-text.ts';

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
export interface CutoverRequest extends CutoverOrder {
  /** Set for a rehearsal: with the fence or without. It never switches. */
  readonly rehearsal?: 'look' | 'fence';
  /** Of the call that started it; later calls join it. */
  readonly updateId: string | undefined;
  readonly answer: Deferred<string>;
  /** Everything that it runs; undefined until the last lease has ended. */
  scope: CancellationScope | undefined;
  /** Cancelled by the operator: however its step ends, the cutover is undone. */
  cancelled: boolean;
}

type VerifiedAnswer = { readonly text: string } | { readonly failure: ApplicationFailure };

/** What works on the running verification. */
export interface Verifier {
  readonly scope: CancellationScope;
  /** It pauses between two tries: none of its activities is pending. */
  idle: boolean;
  /** Ends such a pause. */
  sooner: boolean;
  /** Settled when no activity of it is left. */
  readonly ended: Deferred<void>;
}

export class Execution {
  readonly migration: Migration;
  readonly #input: MigrationInput;
  #state: State;
  lease: Lease | undefined;
  /** From the request to its answer. */
  cutover: CutoverRequest | undefined;
  /** What the callers of `await-cutover` wait for while a request is kept in the state. */
  asked: Deferred<string> | undefined;
  /** The request that is kept is being watched (window.ts). */
  watching = false;
  /** The step after an undone cutover; cancelled when the way back ends. */
  tidying: CancellationScope | undefined;
  /** The pending read of the target's position; cancelled when the pause ends. */
  asking: CancellationScope | undefined;
  /** Why the cutover goes on without a way back, which the operator accepts; unset: with one, where it is asked for. */
  withoutWayBack: string | undefined;
  /** What became of the slot at the end of a cutover; unset before. */
  slot: { readonly kept: Reason | null } | undefined;
  /** How the way back ended; empty before. */
  readonly backEnd: WayBackEnd = {};
  /** Why an opened fence is still there. */
  openFence: string | undefined;
  /** Limits are being written into the control schema; resolves with the first answer to that. */
  storing:
    { readonly scope: CancellationScope; readonly first: Deferred<Reason | null> } | undefined;
  /** Unset: nothing works on a verification. */
  verifier: Verifier | undefined;
  /** What those who wait for the running verification get. */
  verified = new Deferred<string>();
  /** How many wait for it. */
  verifyCallers = 0;
  /** The copy checks again how many streams it may have. */
  limitsChanged = new Deferred<void>();
  /** What an abort answers: how the migration ended, in one sentence. */
  readonly ended = new Deferred<string>();

  constructor(migration: Migration, input: MigrationInput, state: State) {
    this.migration = migration;
    this.#input = input;
    this.#state = state;
    // Current Details begin empty in every run of a continue-as-new chain.
    this.#show();
  }

  get state(): State {
    return this.#state;
  }

  /** As the operator gave it, with the fence that was chosen where it names none. */
  get input(): MigrationInput {
    const { fence } = this.#state;
    return fence === undefined ? this.#input : { ...this.#input, fence };
  }

  get at(): At {
    return this.#state.stage.at;
  }

  /** Changes the state by what happened, and shows it. @throws IllegalMove, which fails the workflow task. */
  tell(event: Event): void {
    const before = this.at;
    this.#state = transition(this.#state, event, new Date().toISOString());
    const [from, to] = [STAGES[before].phase, STAGES[this.at].phase];
    if (from !== to) log.info('phase', { from, to });
    // Here, so that no way out of the stage forgets it: nothing is compared while the stream stands still.
    if (before === 'streaming' && this.at !== 'streaming') this.#interruptVerification();
    this.#show();
  }

  /** Whether the application is on the target, and its changes are streamed back. */
  get isBack(): boolean {
    return this.#state.back !== undefined;
  }

  /** Input of activities that need nothing else; on the way back they swap the sides. */
  get bare(): BareStep {
    return { migration: this.migration, ...(this.isBack ? { back: true } : {}) };
  }

  /** Input of activities that read tables, or need a setting. */
  get step(): Step {
    return { ...this.bare, input: this.input };
  }

  /** Why the migration waits for its operator; the same object as long as it waits for the same. */
  get waiting(): Waiting | null {
    const { stage } = this.#state;
    return 'waiting' in stage ? stage.waiting : null;
  }

  /** Why the position of a paused stream is only that of the last checkpoint. Null: the position is known. */
  get unsure(): Pick<Reason, 'code' | 'message'> | null {
    const { stage } = this.#state;
    return stage.at === 'paused' ? stage.unsure : null;
  }

  /** In force, or on the way. */
  get limits(): Limits {
    return this.#state.limits?.values ?? { ...UNLIMITED, ...this.input.limits };
  }

  get shownLimits(): ShownLimits {
    const { guard, ...others } = this.limits;
    return this.input.guard === undefined ? others : { ...others, guard };
  }

  /** Before it there are no rows on the target: an error ends the migration and everything is undone. */
  get hasRows(): boolean {
    return this.#state.startedAt.snapshot !== undefined;
  }

  /** Answers those who wait for the running verification. */
  answerVerified(answer: VerifiedAnswer): void {
    const { verified } = this;
    this.verified = new Deferred();
    if ('text' in answer) verified.give(answer.text);
    else verified.refuse(answer.failure);
  }

  /** It ends at once for those who wait, and the work on it ends as soon as its activities notice. */
  #interruptVerification(): void {
    this.verifier?.scope.cancel();
    const text = interruptedText(this.at, verificationOf(this.#state).running);
    this.answerVerified({ failure: ending('Ended', text) });
  }

  /** To be called when the stream has stopped for a pause: a position that no attempt reported is not called known. */
  notePause(): void {
    if (!this.lease) this.tell({ type: 'positionUnknown', reason: null });
  }

  /** A run before a reset has switched: the cutover that is begun here finds the outcome, decides nothing, and completes. */
  followSwitch(): void {
    if (this.cutover) return;
    // A position that was read after the release would skip the application's changes.
    if (this.#state.wayBack) this.tell({ type: 'wayBackAdvanced', position: null });
    const begun = { updateId: undefined, scope: undefined, cancelled: false };
    this.cutover = { ...orderOf(this.input, {}), ...begun, answer: new Deferred<string>() };
    this.tell({ type: 'cutover' });
  }

  /** Undoes the cutover, and answers its caller with the reason. */
  undoCutover(reason: Reason, what: string): void {
    if (!this.cutover) return;
    this.tell({ type: 'cutoverUndone', reason, ...this.#rehearsed });
    this.refuseCutover(reason, what);
  }

  /** For its event: a rehearsal is no cutover, however it ends. */
  get #rehearsed(): { readonly rehearsed?: true } {
    return this.cutover?.rehearsal === undefined ? {} : { rehearsed: true };
  }

  /** Nothing was released: the stream continues, and the caller gets what was measured. */
  endRehearsal(text: string): void {
    this.tell({ type: 'cutoverUndone', rehearsed: true });
    this.cutover?.answer.give(text);
    this.cutover = undefined;
  }

  /** Answers the caller of a cutover that is undone. */
  refuseCutover({ code, message }: Reason, what: string): void {
    this.cutover?.answer.refuse(ending(code, what === '' ? message : `${what}: ${message}`));
    this.cutover = undefined;
  }

  /**
   * Cancels the cutover: as if it had not been requested, with the stream paused. Waits only for its own end, which no
   * database can delay.
   */
  cancelCutover(where: string): void {
    const what = this.cutover?.rehearsal === undefined ? directionOf(this).what : 'rehearsal';
    this.tell({ type: 'cutoverCancelled', ...this.#rehearsed });
    this.notePause();
    const message = cancelledText(this, where, what);
    this.refuseCutover({ code: 'Cancelled', message }, '');
  }

  progress(): Progress {
    const { stage, startedAt, asOf, confirmedLsn, snapshot, indexes, stream } = this.#state;
    const { placeWait, guard, tables, verification, definitions, accepted = [] } = this.#state;
    const { phase: shown, state } = STAGES[stage.at];
    const phase = this.isBack && (shown === 'stream' || shown === 'cutover') ? 'reverse' : shown;
    // What was measured before a cutover or an end is no longer of interest there.
    const ready =
      phase === 'stream' || phase === 'cutover' ? readinessOf(this.#state, this.input) : undefined;
    return {
      ...{ phase, state, waiting: this.waiting, placeWait },
      cutover: 'step' in stage ? stage.step : null,
      ...(stage.at === 'fenced' ? { box: stage.box } : {}),
      ...shownApproval(this),
      ...shownKept(this),
      ...{ source: this.migration.source, target: this.migration.target },
      slot: this.isBack ? reverseOf(this.migration).slot : this.migration.slot,
      ...{ confirmedLsn, snapshot },
      ...(tables ? { tables: tables.counts, unready: tables.unready } : {}),
      ...(indexes ? { indexes } : {}),
      ...{ stream, limits: this.shownLimits },
      ...(definitions && !this.isBack ? { definitions } : {}),
      ...(ready ? { readiness: ready } : {}),
      ...(accepted.length > 0 ? { accepted } : {}),
      ...(guard === 'off' ? {} : { guard }),
      verify: this.input.verify,
      ...(verification ? { verification } : {}),
      ...{ startedAt, asOf },
      notes: progressNotes(this.#state, this.unsure),
    };
  }

  /** @param leftBehind at the end: what is left on the servers. */
  record(leftBehind?: readonly string[]): MigrationRecord {
    const { course = NO_COURSE, startedAt, approvals, window, definitions, accepted } = this.#state;
    return {
      ...course,
      startedAt,
      ...(approvals ? { approvals } : {}),
      ...(window ? { window } : {}),
      ...(definitions ? { definitions } : {}),
      ...(accepted ? { accepted } : {}),
      ...(leftBehind ? { leftBehind } : {}),
    };
  }

  #show(): void {
    setCurrentDetails(renderDetails(this.migration.workflowId, this.progress(), this.at));
  }
}
