/** Stops a stream that does not answer: fences off its attempt and reads the applied LSN from the target. */
import type { Migration } from '../../contract/migration.ts';
import type { Checkpoint, StreamReport } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import { takeEpoch } from '../store/epoch.ts';

/**
 * Ensures that no attempt can write any longer, and returns the target's checkpoint. For every stop without an answer.
 * @throws MigrationError `CheckpointMissing`, `Unreachable`.
 */
export async function fenceStream(migration: Migration): Promise<Checkpoint> {
  const { confirmedLsn, transactions, changes } = await fence(migration, null);
  return { confirmedLsn, transactions, changes };
}

/** The target's checkpoint while no attempt writes. */
export type Stopped = Checkpoint & Pick<StreamReport, 'consistent'>;

/**
 * Like {@link fenceStream}, with a field that otherwise only a stream's report has.
 * @param scheduledAt of an attempt that stops: it must not fence off a later attempt.
 */
export async function fence(migration: Migration, scheduledAt: number | null): Promise<Stopped> {
  try {
    await using client = await connectTarget(migration, 'apply');
    const { confirmedLsn, transactions, changes, consistent } = await takeEpoch(
      client,
      migration,
      null,
      scheduledAt,
    );
    return { confirmedLsn, transactions, changes, consistent };
  } catch (error) {
    throw classify(error, { step: 'fence the stream', side: 'target' }, 'Internal');
  }
}
