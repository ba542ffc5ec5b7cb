/** Why a batch could not be applied or committed. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import { classify } from '../connection/failure.ts';
import { holdEpoch } from '../store/epoch.ts';
import { type Advance } from '../store/confirmed-position.ts';
import { TruncateFailed } from './change-writer.ts';
import type { Change } from './change.ts';
import { isTransient } from './transient-failure.ts';
import { StepFailed } from './replay.ts';
import { changeFailure, recordStopped } from './refused-change.ts';

/**
 * Names the change behind an error, and records its key on the target.
 * @param client outside of a transaction.
 */
export async function applyFailure(
  client: pg.Client,
  migration: Migration,
  epoch: bigint,
  error: unknown,
): Promise<MigrationError> {
  const context = { step: 'applying', side: 'target' } as const;
  const [change, cause] = blamed(error);
  if (!change) return classify(error, context, 'Internal');
  if (isTransient(cause)) return classify(cause, { ...context, lsn: change.lsn }, 'Contention');
  const failure = changeFailure(change, cause, migration.target);
  // The failure matters more than its record: if the target refuses the record, the stream still stops with the LSN.
  await recordStopped(client, migration, epoch, change, failure).catch(() => undefined);
  return failure;
}

/** The control row did not take the position: a newer attempt has it, or the position is behind the stored one. */
export async function notAdvanced(
  client: pg.Client,
  migration: Migration,
  epoch: bigint,
  { confirmedLsn }: Advance,
): Promise<MigrationError> {
  try {
    await holdEpoch(client, migration, epoch);
  } catch (error) {
    return classify(error, { step: 'committing', side: 'target' }, 'Internal');
  }
  return new MigrationError('Internal', `the stored LSN would move back to ${confirmedLsn}`, {
    lsn: confirmedLsn,
  });
}

/** The change that caused an error, and the server's error. */
function blamed(error: unknown): [Change | undefined, unknown] {
  if (error instanceof StepFailed) return [error.step.origin, error.cause];
  if (error instanceof TruncateFailed) return [error.truncate, error.cause];
  return [undefined, error];
}
