/**
 * When one lease of the stream ends, pure. A lease does not count from its start: after a start the source reads WAL again
 * from the slot's `restart_lsn`, gigabytes of it when a long transaction is open there, and a lease that ended before the
 * first new commit arrived would make no progress, for ever. It counts from the first position that the target stored, or
 * from the start when there is nothing to do.
 */
export class Lease {
  readonly #length: number;
  readonly #startedAt: number;
  #countsFrom: number | null = null;

  /** @param lengthMs milliseconds; @param now milliseconds on any clock that the other calls use too. */
  constructor(lengthMs: number, now: number) {
    this.#length = lengthMs;
    this.#startedAt = now;
  }

  /** The target stored a new position. */
  stored(now: number): void {
    this.#countsFrom ??= now;
  }

  /** Everything that the source had when the lease began was received. */
  caughtUp(): void {
    this.#countsFrom ??= this.#startedAt;
  }

  /** Whether the next commit boundary ends it. */
  over(now: number): boolean {
    return this.#countsFrom !== null && now - this.#countsFrom >= this.#length;
  }
}
