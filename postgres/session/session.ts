/**
 * A session of a step: a verified connection (open.ts) that ends the sessions of the step's earlier attempts, and whose
 * statements are over on the server, too, once an abort has been reported.
 *
 * Cancellation is the same everywhere. An abort closes the socket at once, so that no step waits for a server that does not
 * answer. A server without connection checks (before 14, or not on Linux) would finish the statement all the same, and so would
 * one that has already received the next; so {@link Session.run} also terminates the backend from a second session and waits for
 * its end. Terminating is safer than cancelling: a cancel that arrives between two statements has no effect.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Side } from '../identity/identity.ts';
import { untilEnded, type Backends } from '../connection/backends.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { Connection, type Purpose } from '../connection/connect.ts';
import { backendPidOf } from '../connection/socket.ts';

/** Where a step opens its sessions, and for what purpose. */
export interface Place {
  readonly side: Side;
  readonly migration: Migration;
  readonly purpose: Purpose;
}

/** How long the end of a terminated backend is awaited; a rollback is fast even after a huge transaction. */
const END_MS = 10_000;
/** The same after an abort, including connecting: the caller's own time is limited. */
const ABORT_MS = 5_000;

export class Session extends Connection implements Place {
  readonly side: Side;
  readonly migration: Migration;
  readonly purpose: Purpose;
  readonly #signal: AbortSignal | undefined;
  readonly #aside: (signal: AbortSignal) => Promise<Session>;

  /** @param how the step's signal, and what opens another session at the same place. */
  constructor(
    config: pg.ClientConfig,
    { side, migration, purpose }: Place,
    how: {
      readonly signal: AbortSignal | undefined;
      readonly aside: (signal: AbortSignal) => Promise<Session>;
    },
  ) {
    super(config);
    this.side = side;
    this.migration = migration;
    this.purpose = purpose;
    this.#signal = how.signal;
    this.#aside = how.aside;
  }

  /** Process id of the backend; null before the session is connected. */
  get pid(): number | null {
    return backendPidOf(this);
  }

  /** Runs statements. When aborted, they are over on the server before this throws the signal's reason. */
  async run<T>(statements: (session: Session) => Promise<T>): Promise<T> {
    this.#signal?.throwIfAborted();
    try {
      const result = await statements(this);
      this.#signal?.throwIfAborted();
      return result;
    } catch (error) {
      if (this.#signal?.aborted !== true) throw error;
      await this.#end();
      throw this.#signal.reason;
    }
  }

  /** Runs statements as one transaction. */
  async transaction<T>(statements: (session: Session) => Promise<T>): Promise<T> {
    return this.run(() =>
      inTransaction(this, async () => {
        const result = await statements(this);
        // No commit after an abort: the caller reports that nothing was done.
        this.#signal?.throwIfAborted();
        return result;
      }),
    );
  }

  /**
   * Ends the sessions of earlier attempts of the same step, and waits until they are gone: their worker may be frozen or cut off,
   * and their locks would block this attempt. Later attempts find this session in the same way.
   *
   * A session is found by an advisory lock that it keeps until its end. Only sessions that started earlier are ended: an attempt
   * that wakes up after it was superseded must not end its successor.
   * @param options `purpose` of the sessions to end, if it is another one than this session's; `code` of the failure.
   * @throws MigrationError naming the pids that are left, `Contention` by default; `Contention` if a later attempt has taken over
   *   while this one was frozen before its lock; `signal.reason` when aborted.
   */
  async takeOver({
    purpose = this.purpose,
    code = 'Contention',
  }: {
    readonly purpose?: Purpose;
    readonly code?: 'Contention' | 'SlotBusy';
  } = {}): Promise<void> {
    await this.join();
    const { pids, values } = this.#others(purpose, 'later');
    if (((await this.query(pids, [...values])).rowCount ?? 0) > 0) {
      throw new MigrationError('Contention', 'a later attempt of this step has begun');
    }
    const left = await untilEnded(this, this.#others(purpose, 'earlier'), {
      withinMs: END_MS,
      signal: this.#signal,
    });
    if (left.length === 0) return;
    throw new MigrationError(
      code,
      `a session of an earlier attempt (pid ${left.join(', ')} on the ${this.side}) did not end within ${END_MS / 1000} s`,
      { pids: left },
    );
  }

  /** Lets later attempts find this session: for the other sessions of an attempt that has taken over. */
  async join(): Promise<void> {
    await this.query(
      /* sql */ `select pg_catalog.pg_advisory_lock_shared(pg_catalog.hashtextextended($1, 0))`,
      [this.#step(this.purpose)],
    );
  }

  /** Distinguishes the migrations of one source, which `application_name` does not. */
  #step(purpose: Purpose): string {
    return `walferry ${purpose} ${this.migration.id}`;
  }

  #others(purpose: Purpose, when: 'earlier' | 'later'): Backends {
    return {
      pids: /* sql */ `
        select theirs.pid
          from pg_catalog.pg_locks l
          join pg_catalog.pg_stat_activity theirs on theirs.pid = l.pid
          join pg_catalog.pg_stat_activity mine on mine.pid = pg_catalog.pg_backend_pid()
         where l.locktype = 'advisory' and l.granted and l.database = mine.datid and l.objsubid = 1
           and (l.classid::int8 << 32 | l.objid::int8) = pg_catalog.hashtextextended($1, 0)
           and theirs.backend_start ${when === 'earlier' ? '<' : '>'} mine.backend_start`,
      values: [this.#step(purpose)],
    };
  }

  /** Terminates this session's backend and waits for its end. Without an answer, the closed socket has to suffice. */
  async #end(): Promise<void> {
    if (this.pid === null) return;
    const late = AbortSignal.timeout(ABORT_MS);
    try {
      await using other = await this.#aside(late);
      // The name as well, because a pid can be reused.
      const own = /* sql */ `select pid from pg_catalog.pg_stat_activity
         where pid = $1 and application_name = pg_catalog.current_setting('application_name')`;
      await untilEnded(other, { pids: own, values: [this.pid] }, { withinMs: ABORT_MS });
    } catch {
      // The server does not answer.
    }
  }
}

/** Several sessions for one step, closed together. The first one takes over from earlier attempts. */
export class StepSessions implements AsyncDisposable {
  readonly all: Session[] = [];
  readonly #open: () => Promise<Session>;

  constructor(open: () => Promise<Session>) {
    this.#open = open;
  }

  /** Opens one more session and runs `prepare` on it. */
  async open(prepare: (session: Session) => Promise<void>): Promise<Session> {
    const session = await this.#open();
    this.all.push(session);
    await (this.all.length === 1 ? session.takeOver() : session.join());
    await prepare(session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.all.map((session) => session[Symbol.asyncDispose]()));
  }
}
