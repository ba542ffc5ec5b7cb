/**
 * One session for statements that may last hours: whoever is told to stop cancels the statement on the server at once,
 * and a worker that died takes its statement along instead of leaving it running beside the next attempt's.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Purpose } from '../connection/session.ts';
import { connectSide, type SideOptions } from '../identity/connect.ts';
import type { Side } from '../identity/identity.ts';

/** Where sessions of a step are opened, and what for. */
export interface Place {
  readonly side: Side;
  readonly migration: Migration;
  readonly purpose: Purpose;
}

/** How long a cancelled statement may take to end before the connection is cut instead. */
const CANCEL_WAIT_MS = 5_000;
const CANCEL_AGAIN_MS = 200;

export class StepSession implements AsyncDisposable {
  readonly client: pg.Client & AsyncDisposable;
  readonly pid: number;
  readonly #signal: AbortSignal;
  /** Another session of the same side. */
  readonly #beside: () => ReturnType<typeof connectSide>;

  private constructor(
    client: pg.Client & AsyncDisposable,
    pid: number,
    signal: AbortSignal,
    beside: () => ReturnType<typeof connectSide>,
  ) {
    this.client = client;
    this.pid = pid;
    this.#signal = signal;
    this.#beside = beside;
  }

  /** Opens a session; `connect` gave it no time limits, and lets the server look whether we still live. */
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
   * Runs statements; on abort the current one is cancelled and the signal's reason is thrown, whatever the statement
   * made of it.
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
    return this.run(async (client) => {
      await client.query('begin');
      try {
        const result = await statements(client);
        // Not after an abort: the caller is told that nothing was done, and that must be true.
        this.#signal.throwIfAborted();
        await client.query('commit');
        return result;
      } catch (error) {
        await client.query('rollback').catch(() => undefined);
        throw error;
      }
    });
  }

  /** Cancels again and again: one that falls between two statements would let the next one run. */
  async #cancel(ended: AbortSignal): Promise<void> {
    const cut = setTimeout(() => void this.client.end().catch(() => undefined), CANCEL_WAIT_MS);
    try {
      await using client = await this.#beside();
      while (!ended.aborted) {
        await client.query(/* sql */ `select pg_cancel_backend($1)`, [this.pid]);
        await sleep(CANCEL_AGAIN_MS, undefined, { signal: ended });
      }
    } catch {
      // Ended while we slept. If the server does not answer instead, cutting the connection is what is left.
    } finally {
      if (ended.aborted) clearTimeout(cut);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.end().catch(() => undefined);
  }
}

/** Several lanes for one step, closed together. */
export class StepSessions implements AsyncDisposable {
  readonly all: StepSession[] = [];
  readonly #place: Place;
  readonly #signal: AbortSignal;

  constructor(place: Place, signal: AbortSignal) {
    this.#place = place;
    this.#signal = signal;
  }

  /** Opens one more, after `prepare` gave it its settings. */
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
 * Ends sessions of earlier attempts of the same step: their worker may be stopped or cut off, and what they hold locked
 * would keep this attempt waiting. One migration per target database, so all of one purpose are ours.
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
