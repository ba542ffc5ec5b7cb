/** The updates that begin a cutover, a rehearsal or a switch back, and their options. */
import { currentUpdateInfo } from '@temporalio/workflow';
import type { ReadinessCode } from '../contract/readiness-finding.ts';
import {
  orderOf,
  orderText,
  parseCutoverOptions,
  type CutoverOptions,
} from '../contract/cutover-request.ts';
import { notAcceptedBy } from './accepted.ts';
import { beginCutover } from './begin-cutover.ts';
import { Deferred } from './deferred.ts';
import { directionOf } from './direction.ts';
import type { CutoverRequest, Execution } from './execution.ts';
import { ending } from './failure.ts';
import { requireVerified } from './readiness.ts';
import { rehearsalOf } from './rehearsal-options.ts';
import { rule } from './state/policy.ts';
import { askForCutover } from './window.ts';

/**
 * Carries out `cutover`.
 * @returns at once when it has to wait for its window or for approval.
 */
export function cutover(run: Execution, raw: unknown): Promise<string> | string {
  const options = requireOptions(raw);
  const { accept = [] } = options;
  // Kept in the state to be shown and reported; the request has its own.
  if (accept.length > 0) run.tell({ type: 'findingsAccepted', codes: accept });
  return run.cutover ? joined(run, run.cutover, raw, options) : askForCutover(run, options);
}

/** Carries out `switchback`. No window and no approval hold it back: whoever needs the old database needs it now. */
export function switchBack(run: Execution, raw: unknown): Promise<string> {
  const options = optionsBack(raw);
  const { accept = [] } = options;
  if (accept.length > 0) run.tell({ type: 'findingsAccepted', codes: accept });
  if (run.cutover) return joined(run, run.cutover, raw, options);
  const answer = new Deferred<string>();
  const order = { ...orderOf(run.input, options), updateId: currentUpdateInfo()?.id };
  beginCutover(run, order, answer);
  return answer.promise;
}

const ACCEPTED_BACK: readonly ReadinessCode[] = ['definition-differs', 'downtime-too-long'];

/** For the validator alone: earlier code accepted every code, and a replay has to. @throws ApplicationFailure `Refused`. */
export function requireOptionsBack(raw: unknown): void {
  const { accept = [] } = optionsBack(raw);
  if (accept.every((code) => ACCEPTED_BACK.includes(code))) return;
  throw ending(
    'Refused',
    `switchback asks for no readiness: the findings that it can accept are ${ACCEPTED_BACK.map((code) => `"${code}"`).join(' and ')}`,
  );
}

/** The options of `switchback`. @throws ApplicationFailure `Refused` naming what is possible. */
export function optionsBack(raw: unknown): CutoverOptions {
  const options = requireOptions(raw);
  if (!options.window) return options;
  throw ending('Refused', 'switchback begins at once: omit "window"');
}

/** A second call waits for the cutover of the first, if it wants the same. */
function joined(
  run: Execution,
  cutover: CutoverRequest,
  raw: unknown,
  options: CutoverOptions,
): Promise<string> {
  if (cutover.rehearsal !== undefined) {
    throw ending('Refused', 'a rehearsal is under way: call cutover when it has answered');
  }
  const wanted = orderText(orderOf(run.input, options));
  const { what, call } = directionOf(run);
  if (raw != null && (orderText(cutover) !== wanted || options.window)) {
    throw ending(
      'Refused',
      `a ${what} with ${orderText(cutover)} is under way: cancel it with pause, then call ${call} again`,
    );
  }
  const missing = notAcceptedBy(cutover, options.accept ?? []);
  if (missing.length > 0) {
    throw ending(
      'Refused',
      `a ${what} that does not accept ${missing.join(', ')} is under way: cancel it with pause, then call ${call} again`,
    );
  }
  return cutover.answer.promise;
}

/** The options of `cutover`. @throws ApplicationFailure `Refused` naming what is possible. */
export function requireOptions(raw: unknown): CutoverOptions {
  const parsed = parseCutoverOptions(raw);
  if (!parsed.ok) throw ending('Refused', parsed.message);
  return parsed.options;
}

/** Carries out `rehearse`. @throws ApplicationFailure `Refused`. */
export async function startRehearsal(run: Execution, options: unknown): Promise<string> {
  const { rehearsal, accept } = rehearsalOf(run, options);
  // Two calls of one workflow task: the second was validated before the first began.
  const ruling = rule('rehearse', run.at, run.isBack);
  if (!ruling.allowed) throw ending('Refused', ruling.text);
  const answer = new Deferred<string>();
  const order = { ...orderOf(run.input, { accept }), rehearsal, updateId: currentUpdateInfo()?.id };
  requireVerified(run, order, 'rehearsal');
  beginCutover(run, order, answer, 'rehearse');
  return answer.promise;
}
