/**
 * Writes that a database refuses because it is closed for a cutover: how many, and for how long none was accepted anywhere. An
 * application that knows both addresses tries them in turn, and writes where it may.
 */

/** `read_only_sql_transaction`: what the fence answers, and what drivers know as "this server is read-only". */
export const REFUSED = '25006';

/** A short one, so that the time without a write is the database's and not ours; not none, which would be an attack. */
export const TRY_AGAIN_MS = 100;

const MS_PER_SECOND = 1000;

export class Refusals {
  readonly #print: (line: string) => void;
  /** Since the application began. */
  total = 0;
  /** The database that took the newest write. */
  #live: string | undefined;
  #acceptedAt = performance.now();
  #outage: { readonly since: number; refused: number } | undefined;

  /** @param print gets one line when a database begins to refuse, and one when writes are accepted again. */
  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  /** A statement was refused. */
  refused(service: string): void {
    this.total += 1;
    if (this.#outage) {
      this.#outage.refused += 1;
      return;
    }
    // A connection that is still at the old database, while others write to the new one, is no outage.
    if (this.#live !== undefined && this.#live !== service) return;
    this.#outage = { since: performance.now(), refused: 1 };
    this.#print(`"${service}" refuses writes (SQLSTATE ${REFUSED})`);
  }

  /**
   * A transaction with changes was committed.
   * @param began when it began, `performance.now()`: one that was under way when the first statement was refused ends no outage.
   */
  accepted(service: string, began: number): void {
    const now = performance.now();
    const before = this.#acceptedAt;
    this.#acceptedAt = now;
    this.#live = service;
    if (!this.#outage || began < this.#outage.since) return;
    const { refused } = this.#outage;
    this.#outage = undefined;
    const seconds = ((now - before) / MS_PER_SECOND).toFixed(1);
    this.#print(`"${service}" takes writes: none for ${seconds} s, ${refused} refused`);
  }
}
