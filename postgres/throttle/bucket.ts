/**
 * A token bucket that may be overdrawn: units are counted after they passed, and the next must wait until they are paid for.
 * Pure.
 */

/** Longest burst: how much may be saved up while nothing passes, in seconds of the rate. */
const SAVED_SECONDS = 0.5;

export class Bucket {
  #rate = 0;
  #level = 0;
  #at: number;

  /** @param now milliseconds, on the same clock as in the other calls. */
  constructor(now: number) {
    this.#at = now;
  }

  get rate(): number {
    return this.#rate;
  }

  /** Sets the rate from now on. What is still owed is paid at the new rate. */
  limit(rate: number, now: number): void {
    if (rate === this.#rate) return;
    this.#fill(now);
    this.#rate = rate;
    this.#level = rate === 0 ? 0 : Math.min(this.#level, rate * SAVED_SECONDS);
  }

  take(units: number, now: number): void {
    if (this.#rate === 0) return;
    this.#fill(now);
    this.#level -= units;
  }

  /** Milliseconds until the next unit may pass; 0: now. */
  wait(now: number): number {
    if (this.#rate === 0) return 0;
    this.#fill(now);
    return this.#level >= 0 ? 0 : Math.ceil((-this.#level / this.#rate) * 1000);
  }

  #fill(now: number): void {
    const filled = this.#level + ((now - this.#at) / 1000) * this.#rate;
    this.#level = Math.min(filled, this.#rate * SAVED_SECONDS);
    this.#at = now;
  }
}
