/** A second session, made when it is first needed, that says whether another one of ours gets on. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { connectSide } from '../identity/connect.ts';
import type { Side } from '../identity/identity.ts';

/**
 * `at work`: the server executes something for the session. `got on`: it has begun or ended a statement since the last look; many short
 * ones leave it idle at most looks. `nothing` also stands for no answer.
 */
export type Seen = 'at work' | 'got on' | 'nothing';

export class Onlooker implements AsyncDisposable {
  readonly #side: Side;
  readonly #migration: Migration;
  readonly #pid: number | null;
  readonly #ended = new AbortController();
  #client: (pg.Client & AsyncDisposable) | null = null;
  #looking: Promise<Seen> | null = null;
  #changed: string | null = null;

  /** @param pid backend of the session in question. */
  constructor(side: Side, migration: Migration, pid: number | null) {
    this.#side = side;
    this.#migration = migration;
    this.#pid = pid;
  }

  /** One look at a time: who asks meanwhile gets the same answer. */
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
      if (active) return 'at work';
      return before !== null && changed !== null && changed !== before ? 'got on' : 'nothing';
    } catch {
      // No answer is no sign of life; the next look tries a new session.
      const broken = this.#client;
      this.#client = null;
      await broken?.[Symbol.asyncDispose]();
      return 'nothing';
    }
  }

  /** Ends a look that is under way, too: its server may never answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#looking) this.#ended.abort();
    await this.#looking;
    await this.#client?.[Symbol.asyncDispose]();
  }
}
