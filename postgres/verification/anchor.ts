/**
 * An anchor: one snapshot of the source and one of the target that show exactly the same transactions, while the application
 * writes and the stream runs. Both live as long as their sessions, and hold back vacuum on both sides for that time.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import { classify } from '../connection/failure.ts';
import { connectTarget } from '../session/open.ts';
import { forgetAnchor, readHeld, type HeldAnchor } from '../store/anchor-request.ts';
import { takeAnchor } from './anchor-taking.ts';
import { AnchorWatch } from './anchor-watch.ts';

/**
 * `sourceSnapshot` and `targetSnapshot`: names from `pg_export_snapshot()`, importable while the owner lives; `visible`:
 * `pg_current_snapshot()` of the source's snapshot; `lsn`: no commit record at or after it is visible there; `takenAt`: ISO 8601.
 */
export type Anchor = HeldAnchor;

/** How long an owner lives at most, milliseconds: vacuum removes nothing on either side meanwhile. */
export const HOLD_MS = 900_000;
/** For the stream to stand after it was asked: it ends its batch first, and starts a lease if none runs. */
const STAND_MS = 10_000;

export interface AnchorLimits {
  readonly holdMs?: number;
  readonly standMs?: number;
  /**
   * A session of the target that begins a transaction and locks the control row while the target shows exactly the anchor: the
   * stream writes nothing before that transaction ends, which `use` decides.
   */
  readonly locked?: pg.Client;
}

/**
 * Asks the running stream to stand at an anchor, runs `use` while both snapshots are held, and lets go. A migration has one
 * anchor at a time: a later call ends the sessions of an earlier one, whose worker may be frozen or gone.
 * @param use gets a signal that is aborted when a session of the anchor ended, after `holdMs`, or with `work.signal`; it must end
 *   then. Snapshots that it has imported stay valid.
 * @throws MigrationError `AnchorRefused` when the stream cannot stand, with the reason; `AnchorLost` when `use` failed after its
 *   signal was aborted; `Unreachable`, `Contention` and what `use` throws; `work.signal.reason`.
 */
export async function withAnchor<T>(
  migration: Migration,
  work: Work,
  use: (anchor: Anchor, signal: AbortSignal) => Promise<T>,
  { holdMs = HOLD_MS, standMs = STAND_MS, locked }: AnchorLimits = {},
): Promise<T> {
  const { signal } = work;
  const id = randomUUID();
  await using target = await connectTarget(migration, 'anchor', { signal });
  try {
    await target.takeOver();
    await using taken = await takeAnchor({ migration, work, id, target, locked }, standMs).catch(
      (error: unknown) => {
        signal.throwIfAborted();
        throw classify(error, { step: 'taking an anchor' }, 'Internal');
      },
    );
    const { anchor, sessions } = taken;
    await using watch = new AnchorWatch([target, ...sessions], work, holdMs);
    work.log.info('an anchor is held', { anchor: id, lsn: anchor.lsn });
    return await use(anchor, watch.signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw watch.ended === null ? error : lost(anchor, watch.ended, error);
    });
  } finally {
    await forget(target, migration, id);
  }
}

/** The anchor that is held now, for other workers; null when there is none. Its source session may have ended since. */
export async function liveAnchor(
  target: pg.ClientBase,
  migration: Migration,
): Promise<Anchor | null> {
  return readHeld(target, migration);
}

/** A row that stays names a session that is gone, which everyone who reads it checks. */
async function forget(target: pg.ClientBase, migration: Migration, id: string): Promise<void> {
  await forgetAnchor(target, migration, id).catch(() => undefined);
}

function lost({ lsn }: Anchor, why: string, cause: unknown): MigrationError {
  return new MigrationError('AnchorLost', `the anchor at ${lsn} ended: ${why}`, { lsn }, cause);
}
