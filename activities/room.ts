/**
 * How much a worker does at the same time. An open migration occupies a place for hours (its stream, or the session that holds its
 * snapshot), a copy for minutes, anything else for moments. They are counted apart: if streams took the places of copies, as
 * many migrations as there are places would wait for each other for ever, and a cutover would wait for somebody's copy.
 *
 * The counting is done here and not by the SDK's slots, because an activity for which the SDK has no slot waits on the server,
 * where neither the worker nor the workflow knows of it. Pure; activities/admission.ts says who waits.
 */

export interface Limits {
  /** Streams and held snapshots: one for each open migration. At least 1. */
  readonly migrations: number;
  /** Copies of all migrations together. At least 1. */
  readonly copies: number;
}

/** Waiting is settled earlier in tests. Milliseconds. */
export interface Patience {
  /** After so long the workflow and the log say that it waits. */
  readonly tellMs: number;
  /** After so long it is given back, so that another worker can take it. */
  readonly giveBackMs: number;
}

export const PATIENCE: Patience = { tellMs: 3_000, giveBackMs: 10_000 };

export class Room {
  readonly migrations: Places;
  readonly copies: Places;
  readonly patience: Patience;

  constructor({ migrations, copies }: Limits, patience = PATIENCE) {
    this.migrations = new Places(migrations, 'open migrations', '--max-activities');
    this.copies = new Places(copies, 'copies', '--max-copies');
    this.patience = patience;
  }
}

interface Waiter {
  readonly since: string;
  readonly enter: () => void;
}

/** A number of places, and the queue for them. */
export class Places {
  readonly limit: number;
  /** What occupies a place, in the plural. */
  readonly what: string;
  /** The worker's option that sets the limit. */
  readonly option: string;
  readonly #owners = new Map<string, number>();
  #taken = 0;
  #queue: Waiter[] = [];

  constructor(limit: number, what: string, option: string) {
    this.limit = limit;
    this.what = what;
    this.option = option;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Whether the owner has a place. */
  has(owner: string): boolean {
    return this.#owners.has(owner);
  }

  /** @returns what gives the place back, to be called once; null when there is none. */
  tryTake(owner: string): (() => void) | null {
    if (this.#taken >= this.limit) return null;
    this.#taken += 1;
    return this.#occupied(owner);
  }

  /**
   * Waits for a place.
   * @param since when the owner began to wait, ISO 8601: whoever waits longest is next, also after it was given back.
   * @param signal ends the wait.
   * @returns as {@link tryTake}; null when the signal was aborted first.
   */
  wait(owner: string, since: string, signal: AbortSignal): Promise<(() => void) | null> {
    if (signal.aborted) return Promise.resolve(null);
    return new Promise((resolve) => {
      const giveUp = (): void => {
        this.#queue = this.#queue.filter((other) => other !== waiter);
        resolve(null);
      };
      const enter = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve(this.#occupied(owner));
      };
      const waiter: Waiter = { since, enter };
      signal.addEventListener('abort', giveUp, { once: true });
      const behind = this.#queue.findIndex((other) => other.since > since);
      this.#queue.splice(behind < 0 ? this.#queue.length : behind, 0, waiter);
    });
  }

  #occupied(owner: string): () => void {
    this.#owners.set(owner, (this.#owners.get(owner) ?? 0) + 1);
    return () => this.#leave(owner);
  }

  #leave(owner: string): void {
    const left = (this.#owners.get(owner) ?? 1) - 1;
    if (left > 0) this.#owners.set(owner, left);
    else this.#owners.delete(owner);
    // Handed on without being free in between: a newcomer would overtake whoever waits.
    const next = this.#queue.shift();
    if (next) next.enter();
    else this.#taken -= 1;
  }
}
