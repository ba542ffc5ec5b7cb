/** Stopping a stream without its answer: whoever streamed is fenced off, and the target says where it stands. */
import type { Migration } from '../../contract/migration.ts';
import type { Checkpoint, StreamReport } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../identity/connect.ts';
import { takeEpoch } from '../control/epoch.ts';

/**
 * Makes sure that no attempt writes any more, and says where the target stands: for every stop without an answer.
 * @throws MigrationError `CheckpointMissing`, `Unreachable`.
 */
export async function fenceStream(migration: Migration): Promise<Checkpoint> {
  const { confirmedLsn, transactions, changes } = await fence(migration, null);
  return { confirmedLsn, transactions, changes };
}

/** Where the target stands when nobody writes. */
export type Stopped = Checkpoint & Pick<StreamReport, 'consistent'>;

/**
 * The same, with what only a stream's report shows.
 * @param scheduledAt of an attempt that stops: it must not fence off the one that came after it.
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
