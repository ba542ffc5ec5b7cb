/** The source during a cutover: no stream uses the slot, so the slot can be peeked to verify the history. */
import type { Migration } from '../../contract/migration.ts';
import type { Heartbeat } from '../../contract/work.ts';
import { connectSource, connectTarget } from '../session/open.ts';
import { whileWatched } from '../session/liveness.ts';
import type { Session } from '../session/session.ts';
import { proveContinuity } from '../stream/continuity.ts';

/**
 * A session on the source, verified to have the history that was applied on the target.
 * @throws MigrationError `SourceRewound` when the source lacks what the target has applied; otherwise as `connectSource`.
 */
export async function openSource(
  migration: Migration,
  work: {
    readonly signal?: AbortSignal;
    readonly beat?: (details: Heartbeat) => void;
    /** The session's lock_timeout; unset waits without limit. */
    readonly lockTimeoutMs?: number;
  },
): Promise<Session> {
  const { signal, beat = () => undefined, lockTimeoutMs = 0 } = work;
  const options = signal ? { signal } : {};
  await using target = await connectTarget(migration, 'cutover', options);
  const source = await connectSource(migration, 'cutover', { ...options, target, lockTimeoutMs });
  try {
    await proveContinuity(source, target, migration, (ask) =>
      whileWatched([source], { beat }, () => ({ step: 'comparing histories' }), ask),
    );
    return source;
  } catch (error) {
    await source.end().catch(() => undefined);
    throw error;
  }
}
