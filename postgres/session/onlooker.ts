/** A second session, opened on demand, that reports whether the server works for others of ours. */
import type pg from 'pg';
import { connectSide } from './open.ts';
import type { Place } from './session.ts';

/** Sessions of one side that are observed. */
export interface Observed extends Place {
  /** Their backends; null for one that is not connected. */
  readonly pids: readonly (number | null)[];
}

/**
 * `active`: the server executes a statement for one of the sessions. `progressed`: one has begun or ended a statement since the
 * last check; with many short statements, most checks find all of them idle. `idle`: neither. `silent`: the server does not answer.
 */
export interface Look {
  readonly seen: 'active' | 'progressed' | 'idle' | 'silent';
  /** Of an index build. */
  readonly percent: string | null;
  /** Whether all active sessions wait for a lock. */
  readonly waitingForLock: boolean;
}

interface Row {
  percent: string | null;
  waiting: boolean;
  active: boolean;
  changed: string | null;
}

/** The view's block and tuple counts belong to different phases of a build. */
const PROGRESS = /* sql */ `
select max(case when p.tuples_total > 0 then round(100.0 * p.tuples_done / p.tuples_total)
                when p.blocks_total > 0 then round(100.0 * p.blocks_done / p.blocks_total) end)::text as percent,
       coalesce(bool_and(coalesce(a.wait_event_type = 'Lock', false)) filter (where a.state = 'active'), false) as waiting,
       coalesce(bool_or(a.state = 'active'), false) as active, max(a.state_change)::text as changed
  from pg_catalog.pg_stat_activity a
  left join pg_catalog.pg_stat_progress_create_index p on p.pid = a.pid
 where a.pid = any($1)`;

export class Onlooker implements AsyncDisposable {
  readonly #observed: Observed;
  readonly #ended = new AbortController();
  #client: (pg.Client & AsyncDisposable) | null = null;
  #looking: Promise<Look> | null = null;
  #changed: string | null = null;

  constructor(observed: Observed) {
    this.#observed = observed;
  }

  /** Runs one check at a time: concurrent callers get the same answer. */
  async look(): Promise<Look> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<Look> {
    const { side, migration, purpose, pids } = this.#observed;
    try {
      // Preflight and the start of the schema step run before the migration is registered.
      this.#client ??= await connectSide(side, migration, purpose, {
        aside: true,
        unregistered: 'any more',
        signal: this.#ended.signal,
      });
      const { rows } = await this.#client.query<Row>(PROGRESS, [pids]);
      const { percent = null, waiting = false, active = false, changed = null } = rows[0] ?? {};
      const before = this.#changed;
      this.#changed = changed ?? before;
      const progressed = before !== null && changed !== null && changed !== before;
      const seen = active ? 'active' : progressed ? 'progressed' : 'idle';
      return { seen, percent, waitingForLock: waiting };
    } catch {
      // No answer is no sign of life; the next check opens a new session.
      const broken = this.#client;
      this.#client = null;
      await broken?.[Symbol.asyncDispose]();
      return { seen: 'silent', percent: null, waitingForLock: false };
    }
  }

  /** Also ends a running check: its server may never answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#looking) this.#ended.abort();
    await this.#looking;
    await this.#client?.[Symbol.asyncDispose]();
  }
}
