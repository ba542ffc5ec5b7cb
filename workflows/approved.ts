/** Whether a cutover is approved, and what `progress` says about it. Pure. */
import { approvalFor } from '../contract/approval.ts';
import type { MigrationInput } from '../contract/input-schema.ts';
import type { Progress } from '../contract/progress.ts';
import type { State } from './state/state.ts';

interface Known {
  readonly input: Pick<MigrationInput, 'approval'>;
  readonly state: State;
}

/** Whether a cutover may not begin because no one has approved it for this window; otherwise for the one that is in force. */
export function isUnapproved({ input, state }: Known, window = state.window): boolean {
  return input.approval === 'required' && approvalFor(window, state.approvals) === undefined;
}

/** What `progress` says about who may let the cutover begin, and when. */
export function shownApproval(
  known: Known,
): Pick<Progress, 'request' | 'window' | 'approval' | 'approvals'> {
  const { held, window, approvals } = known.state;
  const unapproved = isUnapproved(known);
  const open = window ? { window } : {};
  return {
    ...(held ? { request: { at: held.at, unapproved, ...open } } : {}),
    ...open,
    ...(known.input.approval === 'required' ? { approval: unapproved ? 'missing' : 'given' } : {}),
    ...(approvals ? { approvals } : {}),
  };
}
