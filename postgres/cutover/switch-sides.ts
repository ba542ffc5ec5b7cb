/**
 * The step that switches: what takes long is done before, on a target that is still closed; what decides is one transaction
 * (release-target.ts).
 */
import type { SwitchReport } from '../../contract/cutover.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { Meeting } from '../apply/failpoint.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { enableTriggers } from '../schema/disable-trigger.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';
import { readOutcome } from '../store/outcome.ts';
import { millisecondsUntil } from './arm-source.ts';
import { checkLines } from './other-differences.ts';
import { requireFinished } from './kept-result.ts';
import { releaseTarget } from './release-target.ts';
import { requireSealed } from './seal-source.ts';
import { setMost, withMargin } from './sequence-margin.ts';
import { readSettings, setStates } from './set-sequences.ts';
import { reportOf } from './undo-cutover.ts';

export interface Switching {
  readonly cutover: string;
  /** The second mark: everything before it is on the target. */
  readonly since: Lsn;
  /** Of the box, ISO by the source's clock, and the box's length: the arming was that long before. */
  readonly deadline: string;
  readonly milliseconds: number;
  /** Numbers that each sequence is set ahead; null: its cache. */
  readonly sequenceMargin: number | null;
}

/**
 * Switches, unless the cutover is decided. Idempotent.
 * @param open opens the target for the application, in the release's transaction.
 * @throws MigrationError `FenceRefused` when the source is not sealed; `TargetRewound`, `CheckpointMissing`, `SchemaFailed`,
 *   `Fenced`, `Unreachable`. The outcome says whether it switched all the same.
 */
export async function switchSides(
  migration: Migration,
  input: MigrationInput,
  fence: Fence,
  order: Switching,
  open: (target: Session) => Promise<void>,
  work: Work & { readonly meet?: Meeting },
): Promise<SwitchReport> {
  const { signal } = work;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    const before = await readOutcome(target, order.cutover);
    if (before) return { ...reportOf(before), sequences: null, differences: [] };
    await enableTriggers(migration, work);
    const differences = await checkLines(migration, work);
    await using source = await connectSource(migration, 'cutover', { signal, target });
    await source.takeOver();
    await requireSealed(source, migration, fence, order.cutover);
    const sides = { source, target };
    const { settings, report } = await readSettings(sides, migration, input);
    const ahead = await withMargin(target, settings, order.sequenceMargin);
    const rest = ahead.slice(await setMost(target, migration, ahead, work.scheduledAt));
    // Materialized views are filled before the box and refreshed after it: the box does not wait for them.
    const unrefreshed = { ...input, cutover: { ...input.cutover, refresh: false } };
    const releasing = {
      also: async (tx: Session) => {
        await requireFinished(tx, migration, unrefreshed, order.since, work);
        await open(tx);
      },
      downtime: async () =>
        order.milliseconds - (await millisecondsUntil(sides[fence.keeper], order.deadline)),
      last: (tx: Session) => setStates(tx, rest),
    };
    const outcome = await whileWatched(
      [source, target],
      work,
      () => ({ step: 'releasing the target' }),
      () => releaseTarget(target, migration, order.cutover, releasing, work),
    );
    return { ...outcome, sequences: report, differences };
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'switching to the target' }, 'Internal');
  }
}
