/**
 * From where the stream stands to the barrier of an anchor: applies exactly the transactions before the anchor's position that its
 * snapshot shows, in one target transaction that leaves the confirmed LSN where it is. Then the target shows what the snapshot
 * shows. To apply them before the others is legal: a transaction that needed a row, key or lock of one that the snapshot does not
 * show would have had to wait until that one is visible, and then the snapshot would show both.
 */
import { compareLsn } from '../../contract/lsn.ts';
import type { Barrier } from '../store/barrier.ts';
import type { BatchWriting } from './batch-writing.ts';
import type { Intake } from './intake.ts';
import type { LoopParts } from './loop-parts.ts';

/** How it ended; `reached`: the barrier is committed. Otherwise nothing was applied, except after an abort. */
export type Passed = 'reached' | 'too much' | 'too late' | 'aborted';

/** An abort is noticed this late at most. */
const WAIT_MS = 50;

/**
 * @param anchor its snapshot was taken after everything that is applied became visible on the source.
 * @param withinMs how long the stream may take to get to the anchor's position.
 * @throws what the stream or the target failed with.
 */
export async function applyAnchor(
  {
    intake,
    writing,
    ...parts
  }: LoopParts & { readonly intake: Intake; readonly writing: BatchWriting },
  anchor: Barrier,
  withinMs: number,
): Promise<Passed> {
  const { reader, writer, signal, filter } = parts;
  const { gathering, horizon } = intake;
  if (filter === undefined) throw new RangeError('an anchor needs a filter');
  filter.only(anchor);
  const deadline = performance.now() + withinMs;
  const isPast = (lsn: Barrier['lsn'] | undefined): boolean =>
    lsn !== undefined && compareLsn(lsn, anchor.lsn) >= 0;
  while (!isPast(horizon.position) && !isPast(gathering.open?.lsn)) {
    writing.raise();
    if (signal.aborted) return 'aborted';
    if (gathering.full) return 'too much';
    if (performance.now() > deadline) return 'too late';
    const item = reader.take();
    if (item === null) await reader.ready(WAIT_MS);
    else await intake.item(item);
  }
  gathering.seal({ end: writer.checkpoint.confirmedLsn, commit: null, barrier: anchor });
  writing.feed(gathering.sealed);
  await untilAborted(writing.written, signal);
  writing.raise();
  return writing.batch === null ? 'reached' : 'aborted';
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
