/** A second session, opened on demand, that reports whether another walferry session makes progress. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { connectSide } from '../session/open.ts';
import type { Side } from '../identity/identity.ts';

/**
 * `active`: the server executes a statement for the session. `progressed`: the session has begun or ended a statement since the
 * last check; with many short statements, most checks find it idle. `nothing` also means no answer.
 */
export type Seen = 'active' | 'progressed' | 'nothing';

export class Onlooker implements AsyncDisposable {
  readonly #side: Side;
  readonly #migration: Migration;
  readonly #pid: number | null;
  readonly #ended = new AbortController();
  #client: (pg.Client & AsyncDisposable) | null = null;
  #looking: Promise<Seen> | null = null;
  #changed: string | null = null;

  /** @param pid backend of the observed session. */
  constructor(side: Side, migration: Migration, pid: number | null) {
    this.#side = side;
    this.#migration = migration;
    this.#pid = pid;
  }

  /** Runs one check at a time: concurrent callers get the same answer. */
  async look(): Promise<Seen> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<Seen> {
    try {
      this.#client ??= await connectSide(
        this.#side,
        this.#migration,
        this.#side === 'target' ? 'apply' : 'stream',
        { aside: true, signal: this.#ended.signal },
      );
      const { rows } = await this.#client.query<{ active: boolean; changed: string }>(
        /* sql */ `select state = 'active' as active, state_change::text as changed
                     from pg_catalog.pg_stat_activity where pid = $1`,
        [this.#pid],
      );
      const { active = false, changed = null } = rows[0] ?? {};
      const before = this.#changed;
      this.#changed = changed;
      if (active) return 'active';
      return before !== null && changed !== null && changed !== before ? 'progressed' : 'nothing';
    } catch {
      // No answer is no sign of life; the next check opens a new session.
      const broken = this.#client;
      this.#client = null;
      await broken?.[Symbol.asyncDispose]();
      return 'nothing';
    }
  }

  /** Also ends a running check: its server may never answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#looking) this.#ended.abort();
    await this.#looking;
    await this.#client?.[Symbol.asyncDispose]();
  }
}
