/**
 * The first step within the box: writes are refused from here on, no one who wrote before is left, and the end mark stands after
 * the last commit. The deadline is on the source, in the fence: the writes come back by themselves when everything of ours is gone.
 */
import type { AlreadyDecided, Armed, Box } from '../../contract/cutover.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { cutoverPoint, type Meeting } from '../apply/failpoint.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { refuseOvertaken } from '../store/epoch.ts';
import { readOutcome } from '../store/outcome.ts';
import { markPosition } from '../stream/end-mark.ts';
import { settleEarlier } from './settle-earlier.ts';

/**
 * Arms, proves and marks. Idempotent while the gate is armed: a repeated attempt keeps the first deadline.
 * @returns the outcome instead, when the cutover is decided: nothing was armed then.
 * @throws MigrationError `WriterRemains` with the writer that did not end before the deadline; `AlreadySwitched`,
 *   `CutoverRepeated`, `FenceRefused`; `Fenced` when a later attempt has taken over.
 */
export async function armSource(
  migration: Migration,
  fence: Fence,
  box: Box,
  work: Work & { readonly meet?: Meeting },
): Promise<Armed | AlreadyDecided> {
  const { signal, meet, scheduledAt } = work;
  const { cutover, milliseconds, endSessions } = box;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    // An attempt that wakes up after its cutover was undone must not stop the writes again.
    const outcome = await readOutcome(target, cutover);
    if (outcome) return { decided: outcome.what };
    await using source = await connectSource(migration, 'cutover', { signal, target });
    await source.takeOver();
    await settleEarlier({ source, target }, migration, fence, cutover, work);
    await cutoverPoint('before-arm', meet);
    const rehearsal = box.rehearsal ?? false;
    const arming = {
      ...{ cutover, milliseconds, rehearsal, signal },
      ...(scheduledAt === undefined ? {} : { scheduledAt }),
    };
    // One of a run before a reset: the present run looks once for what it has to give back, and has looked.
    await refuseOvertaken(target, migration, scheduledAt ?? null);
    const { deadline } = await fence.arm(source, migration, arming);
    await cutoverPoint('after-arm', meet);
    const withinMs = await millisecondsUntil({ source, target }[fence.keeper], deadline);
    const proof = await fence.prove(source, migration, work, { withinMs, endSessions });
    const mark = await markPosition(source, migration, 'on');
    await cutoverPoint('after-arm-mark', meet);
    const { holders, waitedMs, ended } = proof;
    return {
      ...{ decided: null, deadline, mark, holders, waitedMs },
      ...(ended === 0 ? {} : { ended }),
    };
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'stopping the writes' }, 'Internal');
  }
}

/** By the clock of the gate's keeper, which is that of the deadline; 0 when it has passed. */
export async function millisecondsUntil(keeper: Session, deadline: string): Promise<number> {
  const { rows } = await keeper.query<{ left: string }>(
    /* sql */ `
    select pg_catalog.ceil(1000 * extract(epoch from $1::timestamptz - pg_catalog.clock_timestamp()))::text as left`,
    [deadline],
  );
  return Math.max(0, Number(rows[0]?.left ?? 0));
}
