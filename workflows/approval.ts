/** The update `approve`: who lets the cutover begin. It only records; window.ts begins a cutover that waits for it. */
import { log } from '@temporalio/workflow';
import { parseApproval, type GivenApproval } from '../contract/approval.ts';
import { requestText } from '../contract/cutover-request.ts';
import type { Execution } from './execution.ts';
import { ending } from './failure.ts';
import { passedWindow } from './window.ts';

/** @throws ApplicationFailure `Refused`; changes nothing. */
export function requireApproval(run: Execution, raw: unknown): GivenApproval {
  if (run.input.approval !== 'required') {
    throw ending(
      'Refused',
      'nothing to approve: the input of this migration has no "approval": "required"',
    );
  }
  const parsed = parseApproval(raw);
  if (!parsed.ok) throw ending('Refused', parsed.message);
  return parsed.given;
}

/** Carries out the update `approve`. */
export function approve(run: Execution, raw: unknown): string {
  const given = requireApproval(run, raw);
  run.tell({ type: 'approve', given });
  log.info('approved', { by: given.name });
  if (run.cutover) return `Approved by ${given.name}. A cutover is under way.`;
  const passed = passedWindow(run);
  if (passed !== undefined) {
    return `Approved by ${given.name}. The ${passed}, and approve again, because an approval holds for one window.`;
  }
  const { held, window } = run.state;
  const waits = requestText({ unapproved: false, ...(window ? { window } : {}) });
  const begins = streams(run) ? 'begins now' : 'begins when the migration streams again';
  const next = held
    ? `The cutover that was asked for ${waits === '' ? begins : waits}.`
    : `No cutover is asked for yet${waits === '' ? '' : `; it ${waits}`}.`;
  return `Approved by ${given.name}. ${next}`;
}

const streams = ({ at }: Execution): boolean => at === 'streaming' || at === 'paused';
