/**
 * Starts the way back at the release. The release transaction writes a logical message; its end, R, is in the new database's WAL
 * between our last commit and the application's first one:
 *
 * - every transaction of ours had returned from its commit before the release began, so its commit record is before R;
 * - the guard on the new database opens with the release, so the application's commit records are after it;
 * - the server skips transactions whose commit record is before the start of the stream, and so does the stream's own filter.
 *
 * So exactly the application's changes arrive, without marking transactions as ours.
 */
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import type { Work } from '../../contract/work.ts';
import { failPoint } from '../apply/failpoint.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { connectSource, connectTarget, requireFlushed } from '../session/open.ts';
import type { Session } from '../session/session.ts';
import { lookAtSlot } from '../slot/slot-state.ts';
import { readStart, startWayBack } from '../store/way-back.ts';
import { onWayBack } from './on-way-back.ts';
import { advanceTo } from './reverse-slot.ts';

/**
 * To be called when the release is committed; idempotent.
 * @param released what `pg_logical_emit_message(true, …)` returned in the release transaction: the end of the message.
 * @throws MigrationError `CheckpointMissing` without a plan, or if the slot is past the release; `SlotMissing` if it is gone.
 */
export async function startReverse(migration: Migration, released: Lsn, work: Work): Promise<void> {
  const reverse = reverseOf(migration);
  const { signal } = work;
  const start = async (): Promise<void> => {
    await using old = await connectTarget(reverse, 'cutover', { signal });
    await using fresh = await connectSource(reverse, 'cutover', { target: old, signal });
    await requireFlushed(fresh, reverse, released);
    const next = await nextTransaction(fresh);
    const started = (await readStart(old, reverse)) === released;
    await requireSlot(fresh, reverse, released, started);
    // A run before a reset has started it, and the stream may be past the release by now.
    if (started) return;
    failPoint('before-start-back');
    if (await inTransaction(old, () => startWayBack(old, reverse, released, next))) {
      work.log.info('way back started', { lsn: released, slot: reverse.slot });
    }
    failPoint('after-start-back');
    await advanceTo(fresh, reverse, released, work);
  };
  await onWayBack(reverse, 'starting the way back', start, signal);
}

/** No transaction whose commit record is before the release has this id or a later one. */
async function nextTransaction(fresh: Session): Promise<bigint> {
  const { rows } = await fresh.query<{ next: string }>(
    /* sql */ `select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text as next`,
  );
  return BigInt(rows[0]?.next ?? 0);
}

/** Past the release the application's first changes would be skipped, without an error of the server. */
async function requireSlot(
  fresh: Session,
  { slot }: Migration,
  released: Lsn,
  started: boolean,
): Promise<void> {
  const found = await lookAtSlot(fresh, slot);
  if (found === null || found.lost || found.confirmedFlushLsn === null) {
    throw new MigrationError(
      'SlotMissing',
      `slot "${slot}" is gone or lost: changes since the release at ${released} cannot be read`,
      { slot, lsn: released },
    );
  }
  if (started || compareLsn(found.confirmedFlushLsn, released) <= 0) return;
  throw new MigrationError(
    'CheckpointMissing',
    `slot "${slot}" is confirmed up to ${found.confirmedFlushLsn}, past the release at ${released}: another session has advanced it`,
    { slot, lsn: released },
  );
}
