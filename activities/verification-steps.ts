/** The steps of a verification, beside those of steps.ts: names, inputs and results are wire format, too. */
import type { VerificationRun, VerifiedTables } from '../contract/verification.ts';
import type { Work } from '../contract/work.ts';
import { holdAnchor } from '../postgres/verification/anchor-owner.ts';
import { comparePieces } from '../postgres/verification/piece-run.ts';
import { concludeVerification } from '../postgres/verification/conclude.ts';
import { planVerification } from '../postgres/verification/plan.ts';
import { repairRows } from '../postgres/verification/repair.ts';
import type { BareStep, Step } from './step-input.ts';

interface OfVerification {
  /** Id of the verification: its pieces and differences are recorded under it. */
  readonly verification: string;
}

export const verificationSteps = {
  /** Keeps one anchor until its slice ends, a plan finds nothing left, or it is cancelled. */
  holdAnchor: ({ migration, verification }: BareStep & OfVerification, work: Work) =>
    holdAnchor(migration, verification, work),

  /** Waits for an anchor and lists the runs that are left under it; none when every table has been compared. */
  planVerification: (
    {
      migration,
      input,
      verification,
      tables,
    }: Step & OfVerification & { readonly tables: VerifiedTables },
    work: Work,
  ) => planVerification(migration, input, { verification, tables }, work),

  comparePieces: (
    { migration, verification, run }: BareStep & OfVerification & { readonly run: VerificationRun },
    work: Work,
  ) => comparePieces(migration, { verification, run }, work),

  /** After the last piece: the report, with the keys that differ at two anchors recorded on the target. */
  concludeVerification: ({ migration, input, verification }: Step & OfVerification, work: Work) =>
    concludeVerification(migration, input, verification, work),

  /** Copies the rows again that this verification found to differ. */
  repairRows: ({ migration, input, verification }: Step & OfVerification, work: Work) =>
    repairRows(migration, input, verification, work),
};
