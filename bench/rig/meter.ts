/** What sessions use while they come and go: the sum of those that live now falls when one of them ends. */

/** CPU seconds of each session, by name. */
export type Readings = ReadonlyMap<string, number>;

export class Meter {
  #last: Readings;
  #seconds = 0;

  /** @param first what the sessions had used before: it does not count. */
  constructor(first: Readings) {
    this.#last = first;
  }

  /**
   * Adds what was used since the last reading. A session that is new counts from its start; one that has ended counts up to the
   * last reading that it was in.
   */
  read(now: Readings): void {
    for (const [name, seconds] of now) this.#seconds += seconds - (this.#last.get(name) ?? 0);
    this.#last = now;
  }

  get seconds(): number {
    return this.#seconds;
  }
}
