/** The steps of a cutover with a fence. Each reads its record first and may be repeated at any time: they decide nothing twice. */
import type {
  AfterRelease,
  Box,
  ChangedReport,
  ChecksMeasured,
  EveryRowReport,
  Prepared,
  SwitchRehearsed,
} from '../contract/cutover.ts';
import type { ProofReport } from '../contract/fence.ts';
import type { Lsn } from '../contract/lsn.ts';
import type { CutoverCall, Work } from '../contract/work.ts';
import { afterRelease } from '../postgres/cutover/after-release.ts';
import { armSource } from '../postgres/cutover/arm-source.ts';
import { compareChanged } from '../postgres/cutover/compare-changed.ts';
import { compareEveryRow } from '../postgres/cutover/every-row.ts';
import { measureChecks } from '../postgres/cutover/measure-checks.ts';
import { prepareBox, rehearseProof } from '../postgres/cutover/prepare-box.ts';
import { rehearseSwitch } from '../postgres/cutover/rehearse-switch.ts';
import { sealSource } from '../postgres/cutover/seal-source.ts';
import { removeSourceFence } from '../postgres/cutover/remove-source-fence.ts';
import { settleForgotten } from '../postgres/cutover/settle-earlier.ts';
import { lookAtSource } from '../postgres/cutover/sealed-source.ts';
import { switchSides, type Switching } from '../postgres/cutover/switch-sides.ts';
import { undoCutover } from '../postgres/cutover/undo-cutover.ts';
import { fenceFor } from '../postgres/fence/kinds.ts';
import { openTarget } from '../postgres/fence/target-fence.ts';
import type { Step } from './step.ts';
import { withSides } from './way-back-steps.ts';

interface Timed extends Step {
  /** For changed rows; 0: they are not compared. */
  readonly milliseconds: number;
}

interface Deciding extends Step {
  readonly cutover: string;
}

/** Before the first lease of a run: a run before it may have stopped the writes, and a reset has forgotten that. */
export const settleStep = (step: Step, work: Work): Promise<void> =>
  withSides(
    step,
    ({ migration, input }) => settleForgotten(migration, fenceFor(input), work),
    work,
  );

export const cutoverSteps = {
  /** Installs the fence, and looks what would hold up a cutover now. Stops no write. */
  prepareCutover: (step: Step & { readonly call?: CutoverCall }, work: Work): Promise<Prepared> =>
    withSides(
      step,
      ({ migration, input, call }) => prepareBox(migration, input, fenceFor(input), call, work),
      work,
    ),

  /** How long the writers of this moment would have held up a cutover. Stops no write. */
  rehearseProof: ({ migration, input }: Step, work: Work): Promise<ProofReport> =>
    rehearseProof(migration, fenceFor(input), work),

  /** The fence on a table of walferry's own, and the release, rolled back. */
  rehearseSwitch: ({ migration, input }: Step, work: Work): Promise<SwitchRehearsed> =>
    rehearseSwitch(migration, fenceFor(input), work),

  /** Stops the writes until the deadline, waits for those that are under way, and writes the end mark. */
  armCutover: (step: Step & { readonly box: Box }, work: Work) =>
    withSides(
      step,
      ({ migration, input, box }) => armSource(migration, fenceFor(input), box, work),
      work,
    ),

  /** Stops the writes for good, unless the deadline has passed. */
  sealCutover: (step: Deciding, work: Work) =>
    withSides(
      step,
      ({ migration, input, cutover }) => sealSource(migration, fenceFor(input), cutover, work),
      work,
    ),

  /** Rows that changed since the last verification, while no one writes. */
  compareChanged: ({ migration, input, milliseconds }: Timed, work: Work): Promise<ChangedReport> =>
    compareChanged(migration, input, { milliseconds }, work),

  /** Every row, while no one writes. */
  compareEveryRow: ({ migration, input }: Step, work: Work): Promise<EveryRowReport> =>
    compareEveryRow(migration, input, work),

  /** Runs these checks without judging them, while the application writes. */
  measureChecks: ({ migration, input, milliseconds }: Timed, work: Work): Promise<ChecksMeasured> =>
    measureChecks(migration, input, milliseconds, work),

  /** The point of no return. */
  switchCutover: (step: Step & Switching, work: Work) =>
    withSides(
      step,
      ({ migration, input, back: _, ...order }) =>
        // The old database has no fence of a target: it is opened after the outcome (openOld).
        switchSides(
          ...([migration, input, fenceFor(input), order] as const),
          (tx) => openTarget(tx, migration),
          work,
        ),
      work,
    ),

  /** The operator's own SQL and command, on the live target. */
  afterRelease: ({ migration, input }: Step, work: Work): Promise<AfterRelease> =>
    afterRelease(migration, input, work),

  /** Decides `undone` unless it is decided, and follows the outcome. */
  undoCutover: (step: Deciding, work: Work) =>
    withSides(
      step,
      ({ migration, input, cutover }) => undoCutover(migration, fenceFor(input), cutover, work),
      work,
    ),

  /** Of a migration that ends without a switch. @returns what is left on the source, by name. */
  removeFence: ({ migration, input }: Step, work: Work) =>
    removeSourceFence(migration, fenceFor(input), work),

  /** After the switch: seals again if need be, and names what was written since. */
  lookAtSource: (step: Deciding & { readonly since: Lsn | null }, work: Work) =>
    withSides(
      step,
      ({ migration, input, cutover, since }) =>
        lookAtSource(migration, input, fenceFor(input), cutover, since, work),
      work,
    ),
};
