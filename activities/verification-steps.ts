/** The steps of a verification, beside those of steps.ts: names, inputs and results are wire format, too. */
import type { Work } from '../contract/work.ts';
import { anchorStates } from '../postgres/verification/anchor-states.ts';
import { concludeVerification } from '../postgres/verification/conclusion.ts';
import { comparePieces, type RunOfVerification } from '../postgres/verification/piece-run.ts';
import { repairRows } from '../postgres/verification/row-repair.ts';
import { holdVerification, type HeldSlice } from '../postgres/verification/verification-hold.ts';
import { planVerification } from '../postgres/verification/verification-plan.ts';
import type { BareStep, Step } from './step.ts';

interface OfVerification {
  /** Id of the verification: its pieces and differences are recorded under it. */
  readonly verification: string;
}

export const verificationSteps = {
  /** Keeps one anchor until its slice ends, a plan finds nothing left, or it is cancelled. */
  holdAnchor: (
    step: BareStep & OfVerification & Pick<HeldSlice, 'sliceMinutes' | 'guard'>,
    work: Work,
  ) => holdVerification(step, work, anchorStates),

  /** Waits for an anchor and lists the runs that are left under it; none when every table has been compared. */
  planVerification: (step: Step & OfVerification, work: Work) =>
    planVerification(step, work, anchorStates),

  comparePieces: (
    step: BareStep & OfVerification & Omit<RunOfVerification, keyof OfVerification>,
    work: Work,
  ) => comparePieces(step, work),

  /** After the last piece: the report, with the keys that differ at two anchors recorded on the target. */
  concludeVerification: (step: Step & OfVerification, work: Work) =>
    concludeVerification(step, work, anchorStates),

  /** Copies the rows again that this verification found to differ, compares them, and corrects its report. */
  repairRows: (step: Step & OfVerification, work: Work) => repairRows(step, work, anchorStates),
};
