/**
 * Cutovers that may not begin yet: before their window, or without approval. Such a request is answered at once and kept in the
 * state: an update that waited for hours would keep the workflow from continuing as new all the time. Timers are set from the
 * absolute times of the window, in every run again. A request whose window passes is dropped, with the reason.
 */
import {
  CancellationScope,
  condition,
  currentUpdateInfo,
  log,
  patched,
  workflowInfo,
} from '@temporalio/workflow';
import {
  orderOf,
  requestText,
  type CutoverOptions,
  type CutoverOrder,
  type HeldCutover,
} from '../contract/cutover-request.ts';
import { sameWindow, windowText, type CutoverWindow } from '../contract/window.ts';
import { quick } from './activities.ts';
import { isUnapproved } from './approved.ts';
import { beginCutover } from './begin-cutover.ts';
import { Deferred } from './deferred.ts';
import type { Execution } from './execution.ts';
import { ending, throwIfStopped } from './failure.ts';
import { QUICK } from './options.ts';
import { requireVerified } from './readiness.ts';
import { unverifiedOf } from './state/judged.ts';
import { isDecided } from './state/stage.ts';
import { destination } from './state/transition.ts';
import { verificationOf } from './state/verification-fact.ts';

const PATCH = 'waits-for-verification';
/** Histories of earlier code move the window of a request that waits although the call is refused. */
const KEEPS_PATCH = 'refused-call-keeps-window';
const ANOTHER = `give one that has not, cutover --input '{"window": {"from": …, "to": …}}'`;

/**
 * Turns the window of the input into UTC, once. In an activity, because the rules of time zones differ between versions of
 * Node: a replay elsewhere must not move the window.
 */
export async function resolveWindow(run: Execution): Promise<void> {
  const { window } = run.input;
  if (window === undefined) return;
  const inUtc = await quick.resolveWindow.executeWithOptions(
    { ...QUICK, activityId: 'window', summary: 'cutover window in UTC' },
    [{ ...run.bare, window }],
  );
  throwIfStopped();
  run.tell({ type: 'windowSet', window: inUtc });
  if (hasPassed(run)) throw ending('InvalidInput', `invalid input: the cutover ${passedText(run)}`);
}

/** @throws ApplicationFailure `Refused` when it could never begin; changes nothing. */
export function requireOpenWindow(run: Execution, { window }: CutoverOptions): void {
  if (window ? isOver(window) : hasPassed(run)) {
    throw ending('Refused', `the cutover ${passedText(run, window)}: ${ANOTHER}`);
  }
}

/** What has to be done when the window in force has passed; undefined when it has not. */
export function passedWindow(run: Execution): string | undefined {
  return hasPassed(run) ? `${passedText(run)}: ${ANOTHER}` : undefined;
}

/**
 * Carries out the update `cutover` when none is under way.
 * @returns at once when it has to wait, otherwise the answer of the cutover.
 */
export function askForCutover(run: Execution, options: CutoverOptions): Promise<string> | string {
  requireOpenWindow(run, options);
  const { window = run.state.window } = options;
  const updateId = currentUpdateInfo()?.id;
  const order = orderOf(run.input, options);
  if (mayBegin(run, window)) {
    requireVerifiedNow(run, order, window);
    setWindow(run, window);
    const answer = new Deferred<string>();
    begin(run, { ...order, updateId }, answer);
    return answer.promise;
  }
  setWindow(run, window);
  const request = { ...order, ...(updateId === undefined ? {} : { updateId }) };
  run.tell({ type: 'cutoverHeld', request });
  log.info('cutover asked for', { waits: waits(run) });
  watchRequest(run);
  return `Cutover asked for: it ${waits(run)}. The update await-cutover waits for its end, pause withdraws it.`;
}

/** Only for a call that is not refused: a request that waits keeps its window, and the approval that was given for it. */
function setWindow(run: Execution, window: CutoverWindow | undefined): void {
  if (window && !sameWindow(window, run.state.window)) run.tell({ type: 'windowSet', window });
}

/** @throws ApplicationFailure `NotReady`; changes nothing. */
function requireVerifiedNow(
  run: Execution,
  order: CutoverOrder,
  window: CutoverWindow | undefined,
): void {
  try {
    requireVerified(run, order);
  } catch (refusal) {
    // The patch is asked only where it decides.
    if (!sameWindow(window, run.state.window) && !patched(KEEPS_PATCH)) setWindow(run, window);
    throw refusal;
  }
}

/** Carries out the update `await-cutover`. @throws ApplicationFailure `Refused` when there is none. */
export async function awaitCutover(run: Execution): Promise<string> {
  if (run.cutover) return run.cutover.answer.promise;
  if (run.state.held) {
    run.asked ??= new Deferred();
    return run.asked.promise;
  }
  throw ending('Refused', run.state.dropped ?? 'no cutover was asked for: call cutover');
}

/** Whether a call of `await-cutover` would keep this run from continuing as new. */
export function refuseLateWait(run: Execution): void {
  if (!run.cutover && workflowInfo().continueAsNewSuggested) throw ending('Refused', ASK_AGAIN);
}

const ASK_AGAIN =
  'the cutover has not begun yet, and the workflow continues as a new run: call await-cutover again';

/** Before continue-as-new: an update that waits would keep this run from ending. The request itself is in the state. */
export function answerWaiting(run: Execution): void {
  run.asked?.refuse(ending('Refused', ASK_AGAIN));
  run.asked = undefined;
}

/** Drops a request that is kept. @param why the reason, as a sentence without a full stop. */
export function dropRequest(run: Execution, code: 'Refused' | 'Cancelled', why: string): void {
  if (!run.state.held) return;
  log.warn('cutover dropped', { why });
  run.tell({ type: 'cutoverDropped', why });
  run.asked?.refuse(ending(code, why));
  run.asked = undefined;
}

/**
 * Begins the request that is kept as soon as it may begin, and drops it when its window passes. Belongs to no update: it goes on
 * after the answer, and in the next run of the chain. Ends with the request or with the migration.
 */
export function watchRequest(run: Execution): void {
  if (run.watching || !run.state.held) return;
  run.watching = true;
  // A cancellation of the workflow has its own way through the main loop.
  void CancellationScope.nonCancellable(() => watch(run)).finally(() => {
    run.watching = false;
  });
}

async function watch(run: Execution): Promise<void> {
  while (run.state.held && !isDecided(run.at)) {
    const { held, window } = run.state;
    if (hasPassed(run)) {
      const missing = whyNot(run, held);
      dropRequest(run, 'Refused', `the cutover did not begin: its ${passedText(run)} (${missing})`);
      return;
    }
    const could = mayBegin(run);
    // The patch is asked only where it decides: histories of earlier code interrupt the verification, and are refused for want of it.
    if (could && !(lacksResult(run, held) && patched(PATCH))) {
      const { updateId } = held;
      begin(run, { ...heldOrder(run, held), updateId }, run.asked ?? new Deferred());
      return;
    }
    const changed = () =>
      run.state.held !== held ||
      !sameWindow(run.state.window, window) ||
      isDecided(run.at) ||
      (mayBegin(run) && !(could && lacksResult(run, held)));
    const next = window ? nextTime(window) : undefined;
    if (next === undefined) await condition(changed);
    else await condition(changed, next.at - Date.now(), { summary: next.summary });
  }
}

function whyNot(run: Execution, held: HeldCutover): string {
  if (isUnapproved(run)) return 'no one approved it';
  return lacksResult(run, held) ? 'a verification had not ended' : `the migration was in ${run.at}`;
}

/** Whether a verification runs whose result it needs: to begin would interrupt that, and the request would be refused and dropped. */
function lacksResult(
  { state, input }: Execution,
  { accept = state.accepted ?? [] }: HeldCutover,
): boolean {
  if (verificationOf(state).running === null) return false;
  return unverifiedOf(state, input, new Date().toISOString(), accept).length > 0;
}

/** A request that earlier code kept accepts what was accepted until then. */
function heldOrder({ input, state }: Execution, held: HeldCutover): CutoverOrder {
  return orderOf(input, { accept: state.accepted ?? [], ...held });
}

interface Moment {
  readonly at: number;
  readonly summary: string;
}

function nextTime({ from, to }: { readonly from: string; readonly to: string }): Moment {
  const opens = Date.parse(from);
  if (Date.now() < opens) return { at: opens, summary: 'the cutover window opens' };
  return { at: Date.parse(to), summary: 'the cutover window closes' };
}

function begin(
  run: Execution,
  request: Parameters<typeof beginCutover>[1],
  answer: Deferred<string>,
): void {
  run.asked = undefined;
  beginCutover(run, request, answer);
}

/** Whether a cutover in this window may begin now: approved, in its window, and in a stage that has the move. */
function mayBegin(run: Execution, window = run.state.window): boolean {
  const isOpen = !window || (Date.now() >= Date.parse(window.from) && !isOver(window));
  const streams = run.at === 'streaming' || run.at === 'paused';
  return (
    isOpen && streams && destination('cutover', run.at) !== undefined && !isUnapproved(run, window)
  );
}

function waits(run: Execution): string {
  const { window } = run.state;
  return requestText({ unapproved: isUnapproved(run), ...(window ? { window } : {}) });
}

const isOver = ({ to }: { readonly to: string }): boolean => Date.now() >= Date.parse(to);

function hasPassed({ state: { window } }: Execution): boolean {
  return window !== undefined && isOver(window);
}

function passedText({ state }: Execution, window = state.window): string {
  return `window ${window ? windowText(window) : ''} has passed`;
}
