/**
 * When a lease of the stream ends, pure. A lease does not count from its start: the source first reads WAL again from the slot's
 * `restart_lsn`, gigabytes if a long transaction is open there. Leases that ended before the first new commit arrived would never
 * make progress. So a lease counts from the first position that the target stored, or from its start when there is nothing to do.
 */
export class LeaseEnd {
  readonly #length: number;
  readonly #startedAt: number;
  #countsFrom: number | null = null;

  /** @param now milliseconds, from the same clock as in the other calls. */
  constructor(lengthMs: number, now: number) {
    this.#length = lengthMs;
    this.#startedAt = now;
  }

  /** The target stored a new position. */
  stored(now: number): void {
    this.#countsFrom ??= now;
  }

  /** Everything that the source had at the start of the lease has been received. */
  caughtUp(): void {
    this.#countsFrom ??= this.#startedAt;
  }

  /** Whether the next commit boundary ends it. */
  over(now: number): boolean {
    return this.#countsFrom !== null && now - this.#countsFrom >= this.#length;
  }
}
