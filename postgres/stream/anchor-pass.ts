/**
 * From where the stream stands to the barrier of an anchor. Transactions that its snapshot shows are applied as usual up to the
 * first one that it does not show. From there on exactly those before the anchor's position that it shows are applied, in one
 * target transaction that leaves the confirmed LSN where it is. Then the target shows what the snapshot shows. To apply them before
 * the others is legal: a transaction that needed a row, key or lock of one that the snapshot does not show would have had to wait
 * until that one is visible, and then the snapshot would show both.
 */
import { compareLsn } from '../../contract/lsn.ts';
import type { Barrier } from '../store/barrier.ts';
import type { AnchorFilter } from './anchor-filter.ts';
import type { BatchWriting } from './batch-writing.ts';
import type { Intake } from './intake.ts';
import type { LoopParts } from './loop-parts.ts';

/** How it ended; only after `reached` is the barrier committed. */
export type Passed = 'reached' | 'too much' | 'too late' | 'aborted';

/** An abort is noticed this late at most. */
const WAIT_MS = 50;

export interface PassParts extends Pick<LoopParts, 'reader' | 'writer' | 'signal'> {
  readonly intake: Intake;
  readonly writing: BatchWriting;
  readonly filter: AnchorFilter;
}

/**
 * @param anchor its snapshot was taken after everything that is applied became visible on the source.
 * @param withinMs how long the stream may take to get to the anchor's position.
 * @throws what the stream or the target failed with.
 */
export async function applyAnchor(
  parts: PassParts,
  anchor: Barrier,
  withinMs: number,
): Promise<Passed> {
  const { writer, writing, intake, filter } = parts;
  const passed = await receive(parts, anchor, withinMs);
  if (passed === 'reached') {
    const { confirmedLsn: end } = writer.checkpoint;
    const at = filter.leaves ? { end, commit: null } : intake.position;
    intake.gathering.seal({ ...at, barrier: anchor });
    await write(parts);
    return writing.batch === null ? 'reached' : 'aborted';
  }
  // The parts of a huge transaction that was not complete in time.
  if (passed !== 'aborted') await writer.rollback();
  return passed;
}

/** Collects up to the anchor's position, and writes as long as nothing is left out. */
async function receive(parts: PassParts, anchor: Barrier, withinMs: number): Promise<Passed> {
  const { reader, signal, intake, writing, filter } = parts;
  const { gathering, horizon } = intake;
  filter.only(anchor);
  const deadline = performance.now() + withinMs;
  const isPast = (lsn: Barrier['lsn'] | undefined): boolean =>
    lsn !== undefined && compareLsn(lsn, anchor.lsn) >= 0;
  let leaves = false;
  while (!isPast(horizon.position) && !isPast(gathering.open?.lsn)) {
    writing.raise();
    if (signal.aborted) return 'aborted';
    if (performance.now() > deadline) return 'too late';
    if (gathering.full) {
      if (leaves) return 'too much';
      await gathering.cut();
    }
    if (gathering.sealed.length > 0) {
      await write(parts);
      continue;
    }
    const item = reader.take();
    if (item === null) await reader.ready(WAIT_MS);
    else await intake.item(item);
    // The first one that is left out has just begun: everything collected is before it.
    if (!leaves && filter.leaves) {
      leaves = true;
      if (!gathering.untouched) gathering.seal();
    }
  }
  while (gathering.sealed.length > 0 && !signal.aborted) await write(parts);
  return signal.aborted ? 'aborted' : 'reached';
}

/** Writes the next batch; after an abort it may still be written. @throws what it failed with. */
async function write({ writing, intake, signal }: PassParts): Promise<void> {
  writing.feed(intake.gathering.sealed);
  await untilAborted(writing.written, signal);
  writing.raise();
}

async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let stop = (): void => undefined;
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
    signal.addEventListener('abort', stop, { once: true });
  });
  // One activity may run many leases with its signal: listeners would pile up.
  await Promise.race([work, aborted]).finally(() => signal.removeEventListener('abort', stop));
}
