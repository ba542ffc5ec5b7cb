/** Watches the sessions of an anchor while it is used: with the end of one of them, the anchor ends. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Work } from '../../contract/work.ts';
import { cut } from '../connection/connect.ts';
import type { Session } from '../session/session.ts';

const CHECK_MS = 1_000;
/** A session that does not answer a trivial query within this time counts as lost. */
const ANSWER_WITHIN_MS = 30_000;

export class AnchorWatch implements AsyncDisposable {
  readonly #sessions: readonly Session[];
  readonly #work: Work;
  readonly #over = new AbortController();
  readonly #done = new AbortController();
  readonly #began = performance.now();
  readonly #watching: Promise<void>;
  readonly #unhook: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  #ended: string | null = null;

  /** @param holdMs after which the anchor is over. */
  constructor(sessions: readonly Session[], work: Work, holdMs: number) {
    this.#sessions = sessions;
    this.#work = work;
    for (const session of sessions) {
      const end = (): void => this.#end(`its session on the ${session.side} ended`);
      session.once('end', end);
      this.#unhook.push(() => session.off('end', end));
    }
    const seconds = Math.round(holdMs / 1000);
    this.#timer = setTimeout(() => this.#end(`its ${seconds} s are over`), holdMs);
    this.#watching = this.#watch();
  }

  /** Why the anchor is over; null while it is held. */
  get ended(): string | null {
    return this.#ended;
  }

  /** Aborted when the anchor is over, and with the step's own signal. */
  get signal(): AbortSignal {
    return AbortSignal.any([this.#over.signal, this.#work.signal]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const off of this.#unhook) off();
    clearTimeout(this.#timer);
    this.#done.abort();
    await this.#watching;
  }

  #end(why: string): void {
    this.#ended ??= why;
    this.#over.abort(new Error(`the anchor ended: ${why}`));
  }

  /** Heartbeats only after all sessions have answered, so that a hanging one is noticed. */
  async #watch(): Promise<void> {
    const stop = AbortSignal.any([this.#done.signal, this.#over.signal, this.#work.signal]);
    while (!stop.aborted) {
      await Promise.all(this.#sessions.map((session) => this.#check(session)));
      if (this.#ended !== null) return;
      const seconds = Math.round((performance.now() - this.#began) / 1000);
      this.#work.beat({ step: 'holding an anchor', seconds });
      await sleep(CHECK_MS, undefined, { signal: stop }).catch(() => undefined);
    }
  }

  async #check(session: Session): Promise<void> {
    let silent = false;
    const late = setTimeout(() => {
      silent = true;
      cut(session);
    }, ANSWER_WITHIN_MS);
    try {
      await session.query(/* sql */ `select`);
    } catch {
      this.#end(`its session on the ${session.side} ${silent ? 'does not answer' : 'ended'}`);
    } finally {
      clearTimeout(late);
    }
  }
}
