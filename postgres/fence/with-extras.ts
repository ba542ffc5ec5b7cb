/**
 * A fence with what the input asks for in addition (extras.ts): taken after the writes are refused, given back after they are
 * allowed again. Nothing gives it back when everything of ours is gone, also where the fence itself has a deadline.
 */
import {
  DATABASE_EXTRAS,
  type DatabaseExtras,
  type FenceRights,
  type FenceSetting,
  type Passing,
} from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';
import { connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { refuseOvertaken } from '../store/epoch.ts';
import type { Arming, Fence } from './fence-contract.ts';
import { describeExtras } from './extra-undo.ts';
import {
  giveBackExtras,
  giveBackTaken,
  missingForExtras,
  previousValues,
  takeExtras,
} from './extras.ts';
import { overtaken } from './stored-fence.ts';

/** Whether the input asks for any; inputs of earlier code have none. */
export const takesAny = (extras: Partial<DatabaseExtras> | undefined): extras is DatabaseExtras =>
  DATABASE_EXTRAS.some((one) => extras?.[one] === true);

export function withExtras(fence: Fence, extras: DatabaseExtras): Fence {
  return {
    ...fence,
    rights: async (source, input) =>
      withMissing(await fence.rights(source, input), await missingForExtras(source, extras)),
    install: async (source, migration, input, work) => {
      const settings = await previousValues(source, migration, extras);
      const taking = await describeExtras(source, settings);
      const report = await fence.install(source, migration, input, work);
      return { ...report, settings, changes: [...(report.changes ?? []), ...taking] };
    },
    arm: async (source, migration, arming) => {
      const armed = await fence.arm(source, migration, arming);
      // A rehearsal stops writes for seconds: whoever connects meanwhile is refused by the fence itself.
      if (arming.rehearsal === true) return armed;
      const taken = await takeExtras(source, migration, extras);
      await lookAgain(fence, source, migration, arming, taken);
      return armed;
    },
    open: async (source, migration, cutover) => {
      await fence.open(source, migration, cutover);
      const gate = await fence.gate(source, migration);
      // Those of another cutover are its own.
      if (gate?.cutover != null && gate.cutover !== cutover) return;
      await giveBackExtras(source, migration);
    },
    giveBackExtras,
    remove: async (source, migration, work) => {
      await giveBackExtras(source, migration);
      return fence.remove(source, migration, work);
    },
  };
}

/**
 * An attempt that was frozen before it took them, and whose cutover was undone or forgotten meanwhile, has taken what no one else
 * gives back.
 * @throws MigrationError `FenceRefused`, `Fenced`.
 */
async function lookAgain(
  fence: Fence,
  source: Session,
  migration: Migration,
  { cutover, scheduledAt }: Arming,
  taken: readonly FenceSetting[],
): Promise<void> {
  try {
    const gate = await fence.gate(source, migration);
    const isArmed = gate !== null && gate.state !== 'open';
    // Those of another cutover are its own.
    if (isArmed && gate.cutover !== cutover) return;
    if (!isArmed) throw overtaken(migration);
    await using target = await connectTarget(migration, 'cutover');
    await refuseOvertaken(target, migration, scheduledAt ?? null);
  } catch (error) {
    await giveBackTaken(source, migration, taken);
    throw error;
  }
}

const STAY: Passing = {
  name: 'extras-stay',
  what: 'what "fenceExtras" changes on the database does not come back by itself when all workers are gone',
  action:
    'Keep a worker running until the cutover has ended; walferry cleanup gives it back after an end without one.',
  refuses: false,
};

const withMissing = (rights: FenceRights, missing: readonly string[]): FenceRights => ({
  ...rights,
  missing: [...rights.missing, ...missing],
  passes: [...rights.passes, STAY],
});
