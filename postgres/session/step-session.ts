/**
 * A session for statements that may run for hours: on abort the statement is cancelled on the server at once, and the statement
 * of a worker that died ends with its session, instead of running alongside the next attempt's.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Purpose } from '../connection/connect.ts';
import { connectSide, type SideOptions } from './open.ts';
import type { Side } from '../identity/identity.ts';
import { inTransaction } from '../connection/in-transaction.ts';

/** Where a step opens its sessions, and for what purpose. */
export interface Place {
  readonly side: Side;
  readonly migration: Migration;
  readonly purpose: Purpose;
}

/** How long a cancelled statement may take to end before the connection is closed. */
const CANCEL_WAIT_MS = 5_000;
const CANCEL_AGAIN_MS = 200;

export class StepSession implements AsyncDisposable {
  readonly client: pg.Client & AsyncDisposable;
  readonly pid: number;
  readonly #signal: AbortSignal;
  /** Opens another session on the same side. */
  readonly #connectAside: () => ReturnType<typeof connectSide>;

  private constructor(
    client: pg.Client & AsyncDisposable,
    pid: number,
    signal: AbortSignal,
    connectAside: () => ReturnType<typeof connectSide>,
  ) {
    this.client = client;
    this.pid = pid;
    this.#signal = signal;
    this.#connectAside = connectAside;
  }

  /** Opens a session. `connect` sets no time limits, and lets the server check whether this client is alive. */
  static async open(
    place: Place,
    signal: AbortSignal,
    options: SideOptions = {},
  ): Promise<StepSession> {
    signal.throwIfAborted();
    const { side, migration, purpose } = place;
    const client = await connectSide(side, migration, purpose, options);
    const { rows } = await client.query<{ pid: number }>(
      /* sql */ `select pg_backend_pid() as pid`,
    );
    return new StepSession(client, rows[0]?.pid ?? 0, signal, () =>
      connectSide(side, migration, purpose, { aside: true }),
    );
  }

  /**
   * Runs statements. On abort, cancels the current one and throws the signal's reason, whatever the statement returned.
   */
  async run<T>(statements: (client: pg.Client) => Promise<T>): Promise<T> {
    this.#signal.throwIfAborted();
    const ended = new AbortController();
    const stop = () => void this.#cancel(ended.signal);
    this.#signal.addEventListener('abort', stop, { once: true });
    try {
      const result = await statements(this.client);
      this.#signal.throwIfAborted();
      return result;
    } catch (error) {
      this.#signal.throwIfAborted();
      throw error;
    } finally {
      ended.abort();
      this.#signal.removeEventListener('abort', stop);
    }
  }

  /** Runs statements as one transaction. */
  async transaction<T>(statements: (client: pg.Client) => Promise<T>): Promise<T> {
    return this.run((client) =>
      inTransaction(client, async () => {
        const result = await statements(client);
        // No commit after an abort: the caller reports that nothing was done.
        this.#signal.throwIfAborted();
        return result;
      }),
    );
  }

  /** Cancels repeatedly: a single cancel that arrives between two statements would let the next one run. */
  async #cancel(ended: AbortSignal): Promise<void> {
    const cut = setTimeout(() => void this.client.end().catch(() => undefined), CANCEL_WAIT_MS);
    try {
      await using client = await this.#connectAside();
      while (!ended.aborted) {
        await client.query(/* sql */ `select pg_cancel_backend($1)`, [this.pid]);
        await sleep(CANCEL_AGAIN_MS, undefined, { signal: ended });
      }
    } catch {
      // The step ended during the sleep. If the server does not answer, the timer above closes the connection.
    } finally {
      if (ended.aborted) clearTimeout(cut);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.end().catch(() => undefined);
  }
}

/** Several sessions for one step, closed together. */
export class StepSessions implements AsyncDisposable {
  readonly all: StepSession[] = [];
  readonly #place: Place;
  readonly #signal: AbortSignal;

  constructor(place: Place, signal: AbortSignal) {
    this.#place = place;
    this.#signal = signal;
  }

  /** Opens one more session and runs `prepare` on it. */
  async open(prepare: (client: pg.Client) => Promise<void>): Promise<StepSession> {
    const session = await StepSession.open(this.#place, this.#signal);
    this.all.push(session);
    await prepare(session.client);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.all.map((session) => session[Symbol.asyncDispose]()));
  }
}

/**
 * Ends sessions of earlier attempts of the same step: their worker may be stopped or disconnected, and their locks would block
 * this attempt. There is one migration per target database, so all sessions of one purpose are ours.
 */
export async function endEarlierSessions(client: pg.ClientBase, purpose: Purpose): Promise<void> {
  await client.query(
    /* sql */ `
    select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and (application_name = $1 or application_name like $1 || ' (%)') and pid <> pg_backend_pid()
       and backend_start < (select backend_start from pg_stat_activity where pid = pg_backend_pid())`,
    [`walferry ${purpose}`],
  );
}
