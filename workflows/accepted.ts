/** Which findings a cutover accepts: those that its own request names. What an earlier one accepted is only shown and reported. */
import { patched } from '@temporalio/workflow';
import type { CutoverOrder } from '../contract/cutover-request.ts';
import type { Execution } from './execution.ts';
import type { ReadinessCode } from '../contract/readiness-finding.ts';

/** Histories of earlier code accept what any call before has accepted. */
const PATCH = 'accepted-once';

export function acceptedBy(
  { state: { accepted: ever = [] } }: Execution,
  { accept }: Pick<CutoverOrder, 'accept'>,
): readonly ReadinessCode[] {
  return ever.every((code) => accept.includes(code)) || patched(PATCH) ? accept : ever;
}

/** Those that a second call names and the cutover under way does not accept; none in histories of earlier code. */
export function notAcceptedBy(
  { accept }: Pick<CutoverOrder, 'accept'>,
  wanted: readonly ReadinessCode[],
): readonly ReadinessCode[] {
  const missing = wanted.filter((code) => !accept.includes(code));
  return missing.length > 0 && patched(PATCH) ? missing : [];
}
