/**
 * The step after the checks: the fence refuses for ever, the proof is repeated, and a second mark is written. Whatever slipped in
 * between the first mark and the seal, because a clock jumped or somebody disabled a trigger, is before the second mark: the drain
 * to it finds it, and the cutover is undone.
 */
import type { AlreadyDecided, Sealed } from '../../contract/cutover.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { cutoverPoint, type Meeting } from '../apply/failpoint.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { readOutcome } from '../store/outcome.ts';
import { markPosition } from '../stream/end-mark.ts';

/** The first proof has left no writer: one that is found here began after the deadline, and a later one is refused. */
const PROOF_MS = 2_000;

/**
 * Seals, proves and marks. Idempotent.
 * @returns `mark: null` when the deadline has passed; the outcome when the cutover is decided.
 * @throws MigrationError `WriterRemains`.
 */
export async function sealSource(
  migration: Migration,
  fence: Fence,
  cutover: string,
  work: Work & { readonly meet?: Meeting },
): Promise<Sealed | AlreadyDecided> {
  const { signal, meet } = work;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    const outcome = await readOutcome(target, cutover);
    if (outcome) return { decided: outcome.what };
    await using source = await connectSource(migration, 'cutover', { signal, target });
    await source.takeOver();
    await cutoverPoint('before-seal', meet);
    if (!(await fence.seal(source, migration, cutover))) return { decided: null, mark: null };
    await cutoverPoint('after-seal', meet);
    await fence.prove(source, migration, work, { withinMs: PROOF_MS, endSessions: false });
    const mark = await markPosition(source, migration, 'on');
    await cutoverPoint('after-seal-mark', meet);
    return { decided: null, mark };
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'sealing the source' }, 'Internal');
  }
}

/**
 * The last look before the release.
 * @throws MigrationError `FenceRefused` unless the gate is sealed for this cutover.
 */
export async function requireSealed(
  source: Session,
  migration: Migration,
  fence: Fence,
  cutover: string,
): Promise<void> {
  const gate = await fence.gate(source, migration);
  if (gate?.state === 'sealed' && gate.cutover === cutover) return;
  throw new MigrationError(
    'FenceRefused',
    `the gate on "${migration.source}" is ${gate?.state ?? 'gone'}, and not sealed for this cutover: nothing was released`,
    { side: 'source' },
  );
}
