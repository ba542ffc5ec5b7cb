/**
 * Detects that the source counts our own walsender as a synchronous standby. A commit then becomes visible only when we confirm
 * it, and we store and confirm nothing that is not yet visible on the source: a deadlock that also blocks every writer of the
 * source. `*` in `synchronous_standby_names` matches any name, and a session cannot ask the server to be excluded.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

/** Far longer than a standby's round trip, far shorter than an application can wait. */
const FIRST_CHECK_MS = 1_000;
/** For this time, a role that may not see the states assumes that a real standby is slow. */
const UNSEEN_MS = 5_000;
const CHECK_INTERVAL_MS = 1_000;

/** Checks from time to time while the stream waits for a commit to become visible. */
export class StandbyWatch {
  readonly #pid: number | null;
  #nextCheckAt = FIRST_CHECK_MS;

  /** @param pid of our walsender. */
  constructor(pid: number | null) {
    this.#pid = pid;
  }

  /**
   * @param source the waiting session.
   * @param forMs milliseconds since the wait began.
   * @throws MigrationError `StandbyLoop`.
   */
  async look(source: pg.ClientBase, forMs: number): Promise<void> {
    if (forMs < FIRST_CHECK_MS) this.#nextCheckAt = FIRST_CHECK_MS;
    if (forMs < this.#nextCheckAt) return;
    this.#nextCheckAt = forMs + CHECK_INTERVAL_MS;
    // Without pg_read_all_stats the view shows a role no state, not even for its own sessions.
    const { rows } = await source.query<{ state: string | null; names: string }>(
      /* sql */ `
      select current_setting('synchronous_standby_names') as names,
             (select sync_state from pg_catalog.pg_stat_replication where pid = $1) as state`,
      [this.#pid],
    );
    const { state = null, names = '' } = rows[0] ?? {};
    const counted =
      state === null
        ? names.includes('*') && forMs >= UNSEEN_MS
        : state === 'sync' || state === 'quorum';
    if (!counted) return;
    throw new MigrationError(
      'StandbyLoop',
      "the source counts the stream as a synchronous standby (synchronous_standby_names has a * or the stream's application_name): its commits wait for the target, and the target waits until they are visible. List the real standbys there, without *, and reload; commits that wait on the source continue as soon as those standbys answer",
    );
  }
}
