/** The steps of the way back, and how the steps of stream and cutover get its sides. */
import type { OldDatabase, OldDatabaseReport } from '../contract/finalize.ts';
import type { Lsn } from '../contract/lsn.ts';
import { reverseOf } from '../contract/reversed.ts';
import type { Migration } from '../contract/migration.ts';
import type { Work } from '../contract/work.ts';
import { fenceFor } from '../postgres/fence/kinds.ts';
import { removeReverseFence } from '../postgres/switchback/reverse-fence.ts';
import { openOld } from '../postgres/switchback/open-old.ts';
import { onWayBack } from '../postgres/switchback/on-way-back.ts';
import { closeWayBack, dropReverseSlot } from '../postgres/switchback/reverse-end.ts';
import { planReverse } from '../postgres/switchback/reverse-plan.ts';
import { settleOld } from '../postgres/switchback/settle-old.ts';
import { reverseSides } from '../postgres/switchback/reverse-sides.ts';
import { advanceReverseSlot, openWayBack } from '../postgres/switchback/reverse-slot.ts';
import { startReverse } from '../postgres/switchback/reverse-start.ts';
import type { BareStep, Step } from './step.ts';

/** The migration of a step: on the way back, with its sides swapped. */
export function sideOf({ migration, back }: BareStep): Migration {
  return back ? reverseOf(migration) : migration;
}

/** Runs a step with its sides; on the way back they are swapped, and its failures say so. */
export async function withSides<S extends Step, T>(
  step: S,
  run: (step: S) => Promise<T>,
  { signal }: Pick<Work, 'signal'>,
): Promise<T> {
  if (step.back !== true) return run(step);
  const swapped = async (): Promise<T> =>
    run({ ...step, ...(await reverseSides(step.migration, step.input)) });
  return onWayBack(reverseOf(step.migration), 'cutover', swapped, signal);
}

export const wayBackSteps = {
  /** Long before the cutover: the row on the old database, the slot on the new one. */
  openWayBack: ({ migration }: BareStep, work: Work) => openWayBack(migration, work),

  /** @param to what an earlier call has returned; null: nothing is advanced. @returns the position for the next call. */
  advanceReverseSlot: ({ migration, to }: BareStep & { readonly to: Lsn | null }, work: Work) =>
    advanceReverseSlot(migration, to, work),

  /** Before the release, after the last drain; before that as a check. */
  planReverse: ({ migration, input }: Step, work: Work) => planReverse(migration, input, work),

  /** @param released end of the release's message. */
  startReverse: ({ migration, released }: BareStep & { readonly released: Lsn }, work: Work) =>
    startReverse(migration, released, work),

  /** After a switch back. */
  openOld: ({ migration, input, cutover }: Step & { readonly cutover: string }, work: Work) =>
    openOld(migration, fenceFor(input), cutover, work),

  /** At the end of a way back without a return: opens the old database, or says what opens it. */
  settleOld: (
    { migration, input, oldDatabase }: Step & { readonly oldDatabase: OldDatabase },
    work: Work,
  ): Promise<OldDatabaseReport> => settleOld(migration, fenceFor(input), oldDatabase, work),

  dropReverseSlot: ({ migration }: BareStep) => dropReverseSlot(migration),

  /** Removes the state of the way back from the old database, and the open fence of a switch back that was undone from the new one. */
  closeWayBack: async ({ migration, input }: Step, work: Work): Promise<void> => {
    await removeReverseFence(migration, fenceFor(input), work);
    await closeWayBack(migration, work);
  },
};
