/**
 * Whether the source counts our own walsender as one of its synchronous standbys. A commit then returns, and shows, when we have
 * confirmed it; and we store and confirm nothing that the source does not show. Neither would ever go on, nor any writer of the
 * source. No name escapes `*` in `synchronous_standby_names`, and the server has no way to ask it not to count a session.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';

/** Far longer than a standby's round trip, far shorter than what an application bears. */
const FIRST_LOOK_MS = 1_000;
/** So long a role that may not see the states believes in a standby that is slow. */
const UNSEEN_MS = 5_000;
const BETWEEN_LOOKS_MS = 1_000;

/** Looks now and then while a commit is waited for. */
export class StandbyWatch {
  readonly #pid: number | null;
  #lookAt = FIRST_LOOK_MS;

  /** @param pid of our walsender. */
  constructor(pid: number | null) {
    this.#pid = pid;
  }

  /**
   * @param source the session that waits.
   * @param forMs milliseconds since this wait began.
   * @throws MigrationError `StandbyLoop`.
   */
  async look(source: pg.ClientBase, forMs: number): Promise<void> {
    if (forMs < FIRST_LOOK_MS) this.#lookAt = FIRST_LOOK_MS;
    if (forMs < this.#lookAt) return;
    this.#lookAt = forMs + BETWEEN_LOOKS_MS;
    // Without pg_read_all_stats the view tells a role no state, not even of its own sessions.
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
      "the source counts the stream as a synchronous standby (synchronous_standby_names has a * or the stream's application_name): its commits wait for the target, and the target for them to be visible. Name the real standbys there, without *, and reload; commits that wait on the source go on as soon as those answer",
    );
  }
}
