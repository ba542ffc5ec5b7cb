/**
 * Undoing a cutover: anybody may, at any time. The outcome comes first, and only an outcome that says `undone` opens the gate. The
 * other way round the application could write on the source after somebody had switched.
 */
import type { OutcomeReport } from '../../contract/cutover.ts';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { cutoverPoint, type Meeting } from '../apply/failpoint.ts';
import { classify } from '../connection/failure.ts';
import type { Fence } from '../fence/fence-contract.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { takeEpoch } from '../store/epoch.ts';
import { decide, readOutcome, type Outcome } from '../store/outcome.ts';

export type Attempting = Pick<Work, 'signal' | 'scheduledAt'> & {
  /** For proofs: see {@link cutoverPoint}. */
  readonly meet?: Meeting;
};

/**
 * Decides `undone` unless the cutover is decided, then follows the outcome: opens the source, or leaves it sealed. Idempotent.
 * @throws MigrationError `CheckpointMissing` when the target has no record of the migration; nothing is opened then.
 */
export async function undoCutover(
  migration: Migration,
  fence: Fence,
  cutover: string,
  attempt: Attempting,
): Promise<OutcomeReport> {
  const { signal } = attempt;
  try {
    await using target = await connectTarget(migration, 'cutover', { signal });
    const outcome = await decideUndone(target, migration, cutover, attempt);
    if (outcome.what === 'undone') await giveBack(target, migration, fence, cutover, attempt);
    return reportOf(outcome);
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, { step: 'undoing the cutover' }, 'Internal');
  }
}

/** Inserts `undone` if no one was faster. @returns what holds now. */
export async function decideUndone(
  target: Session,
  migration: Migration,
  cutover: string,
  { scheduledAt, meet }: Attempting,
): Promise<Outcome> {
  await cutoverPoint('before-undo', meet);
  // Ends the backend of a release that hangs before its commit: its row would make our insert wait for as long as it hangs.
  await takeEpoch(target, migration, null, scheduledAt ?? null);
  // A decision that a crash of the target forgets would be taken twice.
  await target.query(/* sql */ `set synchronous_commit = on`);
  await decide(target, migration, cutover, 'undone');
  const outcome = await requireOutcome(target, migration, cutover);
  await cutoverPoint('after-undo', meet);
  return outcome;
}

async function giveBack(
  target: Session,
  migration: Migration,
  fence: Fence,
  cutover: string,
  { signal, meet }: Attempting,
): Promise<void> {
  // Its identity only: a source that has lost WAL in a failover is the live database all the same, and has to take writes.
  await using source = await connectSource(migration, 'cutover', { signal, target, aside: true });
  // A frozen attempt that has the gate's row locked in an open transaction.
  await source.takeOver();
  await fence.open(source, migration, cutover);
  await cutoverPoint('after-open', meet);
}

/** @throws MigrationError `CheckpointMissing`: no row could be inserted, because the target does not know the migration. */
export async function requireOutcome(
  target: Session,
  migration: Migration,
  cutover: string,
): Promise<Outcome> {
  const outcome = await readOutcome(target, cutover);
  if (outcome) return outcome;
  throw new MigrationError(
    'CheckpointMissing',
    `"${migration.target}" has no record of this migration, so the outcome of its cutover cannot be decided: the source stays as it is`,
    { object: 'walferry.outcome', side: 'target' },
  );
}

export function reportOf({ what, release }: Outcome): OutcomeReport {
  return {
    decided: what,
    releaseLsn: release?.lsn ?? null,
    downtimeMs: release?.downtimeMs ?? null,
  };
}

/** For whoever finds that the outcome is `switched` and did not expect it. */
export function alreadySwitched({ target }: Migration, cutover: string): MigrationError {
  return new MigrationError(
    'AlreadySwitched',
    `cutover ${cutover} has switched this migration to "${target}": the source stays sealed`,
  );
}
