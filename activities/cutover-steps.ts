/** The steps of a cutover with a fence. Each reads its record first and may be repeated at any time: they decide nothing twice. */
import type { Box, Prepared } from '../contract/cutover.ts';
import type { FenceInput } from '../contract/fence.ts';
import type { Lsn } from '../contract/lsn.ts';
import type { CutoverCall, Work } from '../contract/work.ts';
import { armSource } from '../postgres/cutover/arm-source.ts';
import { prepareBox } from '../postgres/cutover/prepare-box.ts';
import { sealSource } from '../postgres/cutover/seal-source.ts';
import { removeSourceFence } from '../postgres/cutover/remove-source-fence.ts';
import { lookAtSource } from '../postgres/cutover/sealed-source.ts';
import { switchSides, type Switching } from '../postgres/cutover/switch-sides.ts';
import { undoCutover } from '../postgres/cutover/undo-cutover.ts';
import { fenceAsked, fenceOf } from '../postgres/fence/kinds.ts';
import { openTarget } from '../postgres/fence/target-fence.ts';
import type { Step } from './step.ts';

const fenceFor = (input: FenceInput) => fenceOf(fenceAsked(input));

interface Deciding extends Step {
  readonly cutover: string;
}

export const cutoverSteps = {
  /** Installs the fence, and looks what would hold up a cutover now. Stops no write. */
  prepareCutover: (
    { migration, input, call }: Step & { readonly call?: CutoverCall },
    work: Work,
  ): Promise<Prepared> => prepareBox(migration, input, fenceFor(input), call, work),

  /** Stops the writes until the deadline, waits for those that are under way, and writes the end mark. */
  armCutover: ({ migration, input, box }: Step & { readonly box: Box }, work: Work) =>
    armSource(migration, fenceFor(input), box, work),

  /** Stops the writes for good, unless the deadline has passed. */
  sealCutover: ({ migration, input, cutover }: Deciding, work: Work) =>
    sealSource(migration, fenceFor(input), cutover, work),

  /** The point of no return. */
  switchCutover: ({ migration, input, ...order }: Step & Switching, work: Work) =>
    switchSides(migration, input, fenceFor(input), order, (tx) => openTarget(tx, migration), work),

  /** Decides `undone` unless it is decided, and follows the outcome. */
  undoCutover: ({ migration, input, cutover }: Deciding, work: Work) =>
    undoCutover(migration, fenceFor(input), cutover, work),

  /** Of a migration that ends without a switch. @returns what is left on the source, by name. */
  removeFence: ({ migration, input }: Step, work: Work) =>
    removeSourceFence(migration, fenceFor(input), work),

  /** After the switch: seals again if need be, and names what was written since. */
  lookAtSource: (
    { migration, input, cutover, since }: Deciding & { readonly since: Lsn | null },
    work: Work,
  ) => lookAtSource(migration, input, fenceFor(input), cutover, since, work),
};
